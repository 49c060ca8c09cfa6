"""The tracker's tests run on a new store each, as the guides' do."""

from tests.guides.conftest import iris, store

__all__ = ["iris", "store"]
