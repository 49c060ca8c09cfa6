"""Imported by Python before a block that runs as a script: the guides' host names, and a report when it ends."""

import atexit
import json
import os
import sys
import traceback

_hosts = json.loads(os.environ.get("GUIDES_HOSTS", "{}"))
# Of the block's own process alone, not of those that MLflow starts.
_path = os.environ.pop("GUIDES_REPORT", "")
_report = {"error": "", "trace": "", "line": 0}


def _raised(kind, error, trace):
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.filename.endswith("block.py")]
    if isinstance(error, SyntaxError) and str(error.filename).endswith("block.py"):
        lines.append(error.lineno)
    _report["error"] = f"{kind.__name__}: {' '.join(str(error).split())}"
    _report["trace"] = "".join(traceback.format_exception(kind, error, trace))
    _report["line"] = lines[-1] if lines else 0
    sys.__excepthook__(kind, error, trace)


@atexit.register
def _write():
    if _path:
        _report["ours"] = any(name.split(".")[0] == "mcp_server" for name in sys.modules)
        with open(_path, "w", encoding="utf-8") as file:
            json.dump(_report, file)


if _path:
    sys.excepthook = _raised
if _hosts:
    from tests.guides.given import map_hosts

    map_hosts(_hosts)
