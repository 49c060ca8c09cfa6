"""Which columns explain a value: partial F tests with Bonferroni's correction, and a small random forest.

Imported only in a separate process (see `mcp_server.worker`), because numpy, scipy and scikit-learn take seconds.
Takes and gives what JSON can carry.
"""

# The stubs of scipy and scikit-learn leave most types open.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import fdtrc
from scipy.stats import rankdata, spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.inspection import permutation_importance

Array = NDArray[Any]

ALPHA: Final = 0.01
"""Chance that one more column is chosen although nothing more matters; corrected for the columns tried."""
TREES: Final = 200
LARGE: Final = 2_000
"""Rows of the forest; of more an even sample is taken, so that it takes seconds."""
PERMUTATIONS: Final = 5
INTERACTION_ROWS: Final = 30
"""Rows below which interactions are not tested."""
INTERACTION_COLUMNS: Final = 12
"""Columns whose pairs are tried, the most important first: 66 pairs."""
MOST_INTERACTIONS: Final = 3
_CLIP: Final = 5.0
"""Values are cut at this many robust deviations from the median before interactions are judged: one exploded loss
must not decide."""


def explain(request: dict[str, Any]) -> dict[str, Any]:
    """Which of the columns move `y`; the same request always gives the same answer.

    Request: `y`: a number per row; `columns`: for each `kind` (number, log, category) and `numbers` (None: not set).
    Answer: `oob_r2` of the forest; `importance` of each column, the fall of that R² when it is permuted;
        `rank_correlation` of each (None for categories); `chosen`: columns in the order in which they were found, each
        with its corrected `p`; `interactions`: pairs with `p`; `inseparable`: columns that the chosen ones determine.
    """
    y = np.asarray(request["y"], dtype=float)
    columns: list[dict[str, Any]] = request["columns"]
    bases = [_basis(column, len(y)) for column in columns]
    chosen, inseparable = _forward(_ranks(y), bases)
    oob_r2, importance = _forest(y, columns)
    order = sorted(range(len(columns)), key=lambda at: -importance[at])[:INTERACTION_COLUMNS]
    enough = len(y) >= INTERACTION_ROWS
    interactions = _interactions(_clipped(y), columns, bases, [at for at, _ in chosen], sorted(order)) if enough else []
    return {
        "oob_r2": oob_r2,
        "importance": importance,
        "rank_correlation": [_rank_correlation(y, column) for column in columns],
        "chosen": [{"column": at, "p": p} for at, p in chosen],
        "inseparable": inseparable,
        "interactions": [{"columns": list(pair), "p": p} for pair, p in interactions],
    }


def _numbers(column: dict[str, Any]) -> Array:
    """The values of a column; NaN where it is not set."""
    return np.asarray([np.nan if value is None else value for value in column["numbers"]], dtype=float)


def _scaled(column: dict[str, Any]) -> tuple[Array, Array]:
    """The values with mean 0 and deviation 1, logarithms where the column is one; and which of them are set."""
    numbers = _numbers(column)
    there = ~np.isnan(numbers)
    # Divided first: the squares of what a float can hold can be infinite or 0.
    numbers = np.log(numbers) if column["kind"] == "log" else numbers / (np.max(np.abs(numbers[there])) or 1.0)
    deviation = float(np.std(numbers[there])) or 1.0
    return np.where(there, (numbers - np.mean(numbers[there])) / deviation, 0.0), there


def _basis(column: dict[str, Any], rows: int) -> Array:
    """The column as regressors: indicators of a category; powers of a number, more of them when there are more rows."""
    if column["kind"] == "category":
        codes = np.asarray(column["numbers"])
        return np.column_stack([codes == code for code in np.unique(codes)[1:]]).astype(float)
    scaled, there = _scaled(column)
    degree = min(len(np.unique(scaled[there])) - 1, 3 if rows >= 40 else 2)
    powers = [scaled**power for power in range(1, degree + 1)]
    return np.column_stack([*powers, ~there] if not there.all() else powers).astype(float)


def _ranks(y: Array) -> Array:
    return rankdata(y).astype(float)


def _rank_correlation(y: Array, column: dict[str, Any]) -> float | None:
    """Spearman's, over the rows where the column is set."""
    if column["kind"] == "category":
        return None
    numbers = _numbers(column)
    there = ~np.isnan(numbers)
    if len(set(numbers[there])) < 2 or len(set(y[there])) < 2:
        return None
    found: Any = spearmanr(numbers[there], y[there])
    return float(found.statistic)


def _clipped(y: Array) -> Array:
    """Distances from the median in robust deviations, at most `_CLIP` of them."""
    # A quarter of the difference of two floats is finite, whatever they are.
    away = y / 4 - np.median(y / 4)
    largest = float(np.max(np.abs(away))) or 1.0
    deviation = float(np.median(np.abs(away))) * 1.4826 or float(np.std(away / largest)) * largest or 1.0
    with np.errstate(over="ignore"):
        return np.clip(away / deviation, -_CLIP, _CLIP)


def _fit(y: Array, parts: Sequence[Array]) -> tuple[float, int]:
    """Residual sum of squares and rank of the least-squares model with an intercept."""
    model = np.column_stack([np.ones(len(y)), *parts])
    solution, _, rank, _ = np.linalg.lstsq(model, y, rcond=1e-9)
    residual = y - model @ solution
    return float(residual @ residual), int(rank)


def _p_value(y: Array, parts: Sequence[Array], more: Array) -> float | None:
    """The partial F test of `more` in addition to `parts`; None where `parts` determine it or no row is left."""
    before, rank_before = _fit(y, parts)
    after, rank_after = _fit(y, [*parts, more])
    added, left = rank_after - rank_before, len(y) - rank_after
    if added < 1 or left < 3:
        return None
    total = float(y @ y) - float(y.sum()) ** 2 / len(y)
    if after <= 1e-12 * total:
        return 0.0 if before > 1e-9 * total else None
    return float(fdtrc(added, left, (before - after) / added / (after / left)))


def _forward(y: Array, bases: Sequence[Array]) -> tuple[list[tuple[int, float]], list[int]]:
    """Columns added one by one, the strongest first, as long as the next one passes Bonferroni's limit.

    Where none passes alone, each is tested together with all others: two strong columns can hide each other.

    Returns: the columns with their corrected p, and those that the chosen ones determine.
    """
    chosen: list[tuple[int, float]] = []
    left = list(range(len(bases)))
    inseparable: list[int] = []
    while left:
        parts = [bases[at] for at, _ in chosen]
        tests = [(p, at) for at in left if (p := _p_value(y, parts, bases[at])) is not None]
        if chosen:
            tested = {at for _, at in tests}
            inseparable = [at for at in left if at not in tested]
        if not tests or min(tests)[0] * len(left) > ALPHA:
            break
        p, at = min(tests)
        chosen.append((at, p * len(left)))
        left.remove(at)
    return chosen or _beside_all_others(y, bases), inseparable


def _beside_all_others(y: Array, bases: Sequence[Array]) -> list[tuple[int, float]]:
    """Columns whose partial F test in the model of all columns passes; corrected for being the second attempt too."""
    found: list[tuple[int, float]] = []
    for at, basis in enumerate(bases):
        others = [other for place, other in enumerate(bases) if place != at]
        p = _p_value(y, others, basis) if others else None
        if p is not None and p * 2 * len(bases) <= ALPHA:
            found.append((at, p * 2 * len(bases)))
    return sorted(found, key=lambda one: one[1])


def _interactions(
    y: Array, columns: Sequence[dict[str, Any]], bases: Sequence[Array], chosen: Sequence[int], tried: Sequence[int]
) -> list[tuple[tuple[int, int], float]]:
    """Pairs whose joint effect is more than the sum of their own, found one by one like the columns."""
    products = {
        pair: product
        for pair in combinations(tried, 2)
        if (product := _product(columns, bases, pair)).shape[1] <= len(y) // 6
    }
    found: list[tuple[tuple[int, int], float]] = []
    while products and len(found) < MOST_INTERACTIONS:
        tests: list[tuple[float, tuple[int, int]]] = []
        for pair, product in products.items():
            mains = [bases[at] for at in dict.fromkeys([*chosen, *(a for one, _ in found for a in one), *pair])]
            p = _p_value(y, [*mains, *(_product(columns, bases, one) for one, _ in found)], product)
            if p is not None:
                tests.append((p, pair))
        if not tests or min(tests)[0] * len(products) > ALPHA:
            break
        p, pair = min(tests)
        found.append((pair, p * len(products)))
        del products[pair]
    return found


def _product(columns: Sequence[dict[str, Any]], bases: Sequence[Array], pair: tuple[int, int]) -> Array:
    """Regressors of an interaction: numbers enter as they are, categories by their indicators."""
    one, other = (bases[at] if columns[at]["kind"] == "category" else _scaled(columns[at])[0][:, None] for at in pair)
    return (one[:, :, None] * other[:, None, :]).reshape(len(one), -1)


def _forest(y: Array, columns: Sequence[dict[str, Any]]) -> tuple[float, list[float]]:
    """R² on the rows that each tree did not see, and how much of it goes when a column is permuted."""
    rows = np.linspace(0, len(y) - 1, min(len(y), LARGE)).astype(int)
    x = np.column_stack([_ordered(column) for column in columns])[rows]
    target = _clipped(y)[rows]
    forest = RandomForestRegressor(n_estimators=TREES, min_samples_leaf=2, max_features=0.5, random_state=0)
    forest.fit(x, target)
    unseen = [np.setdiff1d(np.arange(len(rows)), seen) for seen in forest.estimators_samples_]

    def out_of_bag_r2(_: Any, values: Any, truth: Any) -> float:
        given = np.ascontiguousarray(values, dtype=np.float32)
        total, count = np.zeros(len(truth)), np.zeros(len(truth))
        for tree, part in zip(forest.estimators_, unseen, strict=True):
            total[part] += tree.predict(given[part], check_input=False)
            count[part] += 1
        known = count > 0
        error = truth[known] - total[known] / count[known]
        spread = truth[known] - truth[known].mean()
        return 1 - float(error @ error) / (float(spread @ spread) or 1.0)

    result: Any = permutation_importance(
        forest, x, target, scoring=out_of_bag_r2, n_repeats=PERMUTATIONS, random_state=0
    )
    return out_of_bag_r2(forest, x, target), [float(value) for value in result.importances_mean]


def _ordered(column: dict[str, Any]) -> Array:
    """Places in the order of the values, which is all that a forest needs; what is not set lies below the others."""
    return np.nan_to_num(rankdata(_numbers(column), nan_policy="omit"), nan=0.0)
