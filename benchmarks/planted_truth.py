"""Does the analysis find what is there, and nothing else? Runs of which the truth is known, many times over."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

from planted import PLANTED_PARAMS, SEED_NOISE, faulty, healthy, sweep

from mcp_server.analysis.diagnosis.diagnosis import diagnose_run
from mcp_server.analysis.sweeps.forest import explain
from mcp_server.analysis.sweeps.param_effects import ParamAnalysis, analyze_params, columns_of
from mcp_server.analysis.sweeps.significance import compare_seed_groups
from mcp_server.analysis.sweeps.sweep import sweep_of
from mcp_server.mlflow_integration.entities import Run

SWEEPS = 20
SETS = 20
HEALTHY = 60


def main() -> None:
    print(f"analyze_params: {SWEEPS} sweeps of 60 configurations x 3 seeds, with and without planted effects")
    for effect in (1.0, 0.0):
        truth = PLANTED_PARAMS if effect else frozenset[str]()
        found = [_analyzed(sweep(seed, effect=effect)) for seed in range(SWEEPS)]
        named = [{effect.param for effect in one.moved} for one in found]
        print(f"  planted {sorted(truth) or 'nothing'}: exactly that named in {named.count(set(truth))} of {SWEEPS}")
        missed, wrong = sum(len(truth - one) for one in named), sum(len(one - truth) for one in named)
        pairs = sum(len(one.interactions) for one in found)
        print(f"    missed: {missed}, named wrongly: {wrong}, interactions claimed: {pairs}")
    print(f"  the first says: {_analyzed(sweep(0)).verdict}")
    _significance()
    _diagnoses()


def _analyzed(runs: list[Run]) -> ParamAnalysis:
    found = sweep_of(runs, "accuracy")
    request = columns_of(found)
    return analyze_params(found, explain(request) if request else None)


def _significance() -> None:
    """Seeds of one configuration, configurations that are the same, configurations that differ."""
    pairs = Counter[str]()
    runs = sweep(0)
    for at in range(0, len(runs), 3):
        for one, other in combinations(runs[at : at + 3], 2):
            found = compare_seed_groups([one, other], "accuracy")
            pairs["within noise" if found and found.verdict.startswith("Within noise") else "else"] += 1
    print(f"\ncompare_runs: two seeds of one configuration: {dict(pairs)}")
    for effect, what in (
        (0.0, "no effect"),
        (1.0, f"effects of more than {6 * SEED_NOISE:g}, six times the noise of a seed"),
    ):
        verdicts = Counter[str]()
        for seed in range(SETS):
            runs = sweep(seed, configurations=20, effect=effect)
            for at in range(3, len(runs), 3):
                first, other = runs[:3], runs[at : at + 3]
                found = compare_seed_groups([*first, *other], "accuracy")
                contrast = found.groups[1].contrast if found else None
                if contrast and (not effect or abs(contrast.difference) > 6 * SEED_NOISE):
                    verdicts[contrast.verdict] += 1
        print(f"  three seeds against three, {what}: {dict(verdicts)}")


def _diagnoses() -> None:
    print("\ndiagnose_run: twelve runs with planted faults")
    for one in faulty(0):
        found = diagnose_run(one.run, one.series, now=one.now)
        hit = "found" if one.planted in {finding.kind for finding in found.findings} else "MISSED"
        print(f"  {one.run.run_id:20} {one.planted:9} {hit}: {found.verdict}")
    missed, others = Counter[str](), Counter[str]()
    for seed in range(SETS):
        for one in faulty(seed):
            found = diagnose_run(one.run, one.series, now=one.now).findings
            missed[one.planted] += one.planted not in {finding.kind for finding in found}
            others.update({finding.kind for finding in found if finding.level != "note"} - {one.planted})
    print(f"  over {SETS} sets of twelve: missed {sum(missed.values())} {dict(+missed)}, other findings {dict(others)}")
    alarms, notes = Counter[str](), Counter[str]()
    for seed in range(SETS):
        for one in healthy(seed, HEALTHY):
            for finding in diagnose_run(one.run, one.series, now=one.now).findings:
                (notes if finding.level == "note" else alarms)[finding.kind] += 1
    print(f"  {SETS * HEALTHY:,} healthy runs: {sum(alarms.values())} false alarms {dict(alarms)}; notes {dict(notes)}")


if __name__ == "__main__":
    main()
