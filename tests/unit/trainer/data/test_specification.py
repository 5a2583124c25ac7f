"""The program's order against the vectors of docs/reference/data-order.md and against a second implementation of that page;
and that both would notice a changed constant."""

import ast
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import specified_order as specified

from pretrain_trainer.data import order, permutation, proportions

ROOT = Path(__file__).resolve().parents[4]
VECTORS = json.loads((ROOT / "docs/reference/data-order-vectors.json").read_text())


def specified_of(mixture: dict[str, Any]) -> specified.Order:
    sources = [specified.Source(s["samples"], s["samplesPerRecord"], s["maxEpochs"]) for s in mixture["sources"]]
    segments = tuple((s["start"], tuple(s["weights"])) for s in mixture["segments"])
    return specified.Order(mixture["seed"], tuple(sources), segments)


class TestVectors:
    """The second implementation gives what is written; that the program does, a test of what is generated shows."""

    def test_of_shares(self) -> None:
        for vector in VECTORS["shares"]:
            assert specified.shares(vector["weights"]) == vector["shares"]

    def test_of_patterns(self) -> None:
        for vector in VECTORS["pattern"]:
            assert specified.pattern(vector["shares"]) == list(zip(vector["source"], vector["rank"], strict=True))

    def test_of_keys(self) -> None:
        for word, mixed in VECTORS["mix"]:
            assert f"{specified.mix(int(word, 16)):016x}" == mixed
        for vector in VECTORS["key"]:
            assert f"{specified.key(vector['seed'], *vector['arguments']):016x}" == vector["key"]

    def test_of_permutations(self) -> None:
        for vector in VECTORS["permute"]:
            key = int(vector["key"], 16)
            assert [specified.permute(v, vector["size"], key) for v in vector["values"]] == vector["permuted"]

    @pytest.mark.parametrize("number", range(len(VECTORS["samples"])))
    def test_of_samples(self, number: int) -> None:
        vector = VECTORS["samples"][number]
        other = specified_of(vector)
        assert [list(other.locate(g)) for g in vector["g"]] == vector["sourceEpochIndex"]


MIXTURES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**53),
        "sources": st.lists(
            st.fixed_dictionaries(
                {
                    "samples": st.integers(1, 300),
                    "samplesPerRecord": st.integers(1, 5),
                    "maxEpochs": st.none() | st.integers(1, 3),
                }
            ),
            min_size=1,
            max_size=4,
        ),
    }
)
WEIGHTS = st.sampled_from([0.1, 0.25, 0.3, 0.7, 1.0, 2.5, 3.0, 10.0])


@given(MIXTURES, st.data())
@settings(max_examples=60)
def test_both_implementations_say_the_same(drawn: dict[str, Any], data: st.DataObject) -> None:
    starts = [0, *sorted(data.draw(st.sets(st.integers(1, 400), max_size=3)))]
    drawn["segments"] = [
        {"start": start, "weights": [data.draw(WEIGHTS) for _ in drawn["sources"]]} for start in starts
    ]
    mine, other = program_of(order, drawn), specified_of(drawn)
    assert mine.total == other.end
    end = 500 if mine.total is None else min(500, mine.total)
    positions = np.unique(np.array(data.draw(st.lists(st.integers(0, max(end - 1, 0)), min_size=30, max_size=30))))
    found = list(zip(*(each.tolist() for each in order.locate(mine, positions)), strict=True))
    assert found == [other.locate(g) for g in positions.tolist()]


@given(st.lists(st.floats(1e-6, 1e9), min_size=1, max_size=6))
def test_both_round_weights_alike(weights: list[float]) -> None:
    assert list(proportions.integer_shares(weights)) == specified.shares(weights)


def program_of(module: Any, vector: dict[str, Any]) -> Any:
    """The mixture of a vector as the program's."""
    first, *later = vector["segments"]
    sources = [
        module.MixtureSource(s["samples"], weight, s["maxEpochs"], s["samplesPerRecord"])
        for s, weight in zip(vector["sources"], first["weights"], strict=True)
    ]
    segments = tuple(module.Segment(s["start"], tuple(s["weights"])) for s in later)
    return module.Mixture(sources, vector["seed"], segments)


# Where, what stands there, and what a slip of the hand would make of it.
MUTANTS = [
    ("permutation", "ROUNDS = 6", "ROUNDS = 4"),
    ("permutation", "ROUNDS = 6", "ROUNDS = 8"),
    ("permutation", "0x9E3779B97F4A7C15", "0x9E3779B97F4A7C14"),
    ("permutation", "0xBF58476D1CE4E5B9", "0xBF58476D1CE4E5B8"),
    ("permutation", "0x94D049BB133111EB", "0x94D049BB133111EA"),
    ("permutation", "z >> np.uint64(30)", "z >> np.uint64(31)"),
    ("permutation", "z >> np.uint64(27)", "z >> np.uint64(28)"),
    ("permutation", "return z ^ (z >> np.uint64(31))", "return z ^ (z >> np.uint64(32))"),
    ("permutation", "return z ^ (z >> np.uint64(31))", "return z"),
    ("permutation", "seed & 0xFFFFFFFFFFFFFFFF", "seed & 0xFFFFFFFF"),
    ("permutation", "mix(key ^ mix(", "mix(key + mix("),
    ("permutation", "mix(key ^ mix(", "(key ^ mix("),
    ("permutation", "keys + np.uint64(round_number)", "keys"),
    ("permutation", "keys + np.uint64(round_number)", "keys + np.uint64(round_number + 1)"),
    ("permutation", "mix(right ^ mix(", "mix(right + mix("),
    ("permutation", "left, right = right, left ^ (", "left, right = right, left | ("),
    ("permutation", "bits >> np.uint64(1)", "(bits + np.uint64(1)) >> np.uint64(1)"),
    ("permutation", "(sizes - 1).astype", "sizes.astype"),
    ("permutation", "passed >= limits[active]", "passed > limits[active]"),
    ("proportions", "MAX_PERIOD = 1 << 16", "MAX_PERIOD = 1 << 15"),
    ("proportions", "max(1, value * MAX_PERIOD // total)", "max(0, value * MAX_PERIOD // total)"),
    ("proportions", "(-(exact[i] * MAX_PERIOD % total), i)", "(exact[i] * MAX_PERIOD % total, i)"),
    ("proportions", "key=lambda i: (shares[i], -i)", "key=lambda i: (shares[i], i)"),
    ("proportions", "-(-(j + 1) * period // shares[i])", "(j + 1) * period // shares[i]"),
    ("proportions", "(j + 1) * period // shares[i] + 1", "(j + 1) * period // shares[i]"),
    ("proportions", "(j + 1) * period // shares[i] + 1", "(j + 1) * period // shares[i] + 2"),
    ("proportions", "i, j + 1))", "i, j))"),
    ("proportions", "divmod(samples - 1, self.shares[source])", "divmod(samples, self.shares[source])"),
    ("proportions", "[rest]) + 1", "[rest])"),
    ("proportions", "self.source[:rest]", "self.source[: rest + 1]"),
    ("proportions", "divisor = gcd(*exact)", "divisor = 1"),
    ("order", "WINDOW_RECORDS = 64", "WINDOW_RECORDS = 63"),
    ("order", "WINDOW_RECORDS = 64", "WINDOW_RECORDS = 128"),
    ("order", "_RECORD, _WINDOW, _SHORT = 1, 2, 3", "_RECORD, _WINDOW, _SHORT = 1, 3, 2"),
    ("order", "_RECORD, _WINDOW, _SHORT = 1, 2, 3", "_RECORD, _WINDOW, _SHORT = 1, 1, 3"),
    ("order", "s.samples * s.max_epochs", "s.samples * (s.max_epochs + 1)"),
    ("order", "0 if n == 0 else share", "share"),
    ("order", "Phase(start, tuple(taken), divided)", "Phase(start, (0,) * len(taken), divided)"),
    ("order", 'side="right") - 1', 'side="left") - 1'),
    ("order", "g[here] - phase.start", "g[here]"),
    ("order", "taken[chosen] + period", "period"),
    ("order", "period * shares[chosen]", "period"),
    ("order", "+ phase.pattern.rank[offset]", ""),
    ("order", "divmod(k, samples)", "divmod(k + 1, samples)"),
    ("order", "r // window_size", "(r + 1) // window_size"),
    ("order", "record_size * WINDOW_RECORDS", "WINDOW_RECORDS + 0 * record_size"),
    ("order", "np.minimum(window_size, samples - begin)", "samples - begin"),
    ("order", "_WINDOW, source, epoch, window)", "_WINDOW, source, epoch, 0 * window)"),
    ("order", "_WINDOW, source, epoch, window)", "_WINDOW, source, 0 * epoch, window)"),
    ("order", "_SHORT, source, epoch)", "_SHORT, 0 * source, epoch)"),
    ("order", "_RECORD, source, epoch)", "_RECORD, epoch, source)"),
    ("order", "% (full + 1)", "% np.maximum(full, 1)"),
    ("order", "r >= place * record_size + short", "r > place * record_size + short"),
    ("order", "(r < place * record_size + short)", "(r <= place * record_size + short)"),
    ("order", "np.where(behind, r - short, r)", "r"),
    ("order", "np.maximum(full, 1), derive_keys", "full + 1, derive_keys"),
    ("order", "record * record_size + slot", "slot + record"),
    ("order", "full * record_size + r - place", "r - place"),
]  # fmt: skip
SOURCES = {m.__name__.rsplit(".", 1)[-1]: Path(str(m.__file__)).read_text() for m in (order, permutation, proportions)}


class Endless(Exception):
    """Everybody notices a program that does not end: all vectors take some 250 turns of its loops."""


class LimitedTurns(ast.NodeTransformer):
    """Lets all `while` loops of a program turn ten thousand times together: no clock, which a busy machine would make unfair."""

    def __init__(self) -> None:
        self.left = 10_000

    def turn(self) -> None:
        self.left -= 1
        if not self.left:
            raise Endless

    def visit_While(self, node: ast.While) -> ast.While:
        self.generic_visit(node)
        node.body[:0] = ast.parse("_turn()").body
        return node


def modules(where: str, old: str, new: str) -> dict[str, types.ModuleType]:
    """The three modules of the order, with one text replaced in one of them."""
    found: dict[str, types.ModuleType] = {}
    limited = LimitedTurns()
    for name in ("permutation", "proportions", "order"):
        text = SOURCES[name]
        if name == where:
            assert text.count(old) >= 1, f"{old!r} does not stand in {name}.py any more"
            text = text.replace(old, new, 1) if old != "_RECORD, source, epoch)" else text.replace(old, new)
        module = types.ModuleType(f"mutated_{name}")
        for other in found:
            text = text.replace(f"from pretrain_trainer.data.{other} import", f"from mutated_{other} import")
        with pytest.MonkeyPatch.context() as patch:
            for other in (*found.values(), module):
                patch.setitem(sys.modules, other.__name__, other)
            module.__dict__["_turn"] = limited.turn
            program = ast.fix_missing_locations(limited.visit(ast.parse(text)))
            exec(compile(program, f"{name}.py", "exec"), module.__dict__)
        found[name] = module
    return found


def differences(mutated: dict[str, Any]) -> Iterator[str]:
    """The vectors that the modules do not give."""
    for vector in VECTORS["shares"]:
        if list(mutated["proportions"].integer_shares(vector["weights"])) != vector["shares"]:
            yield "shares"
    for vector in VECTORS["pattern"]:
        made = mutated["proportions"].pattern(tuple(vector["shares"]))
        if (made.source.tolist(), made.rank.tolist()) != (vector["source"], vector["rank"]):
            yield "pattern"
    for vector in VECTORS["key"]:
        if f"{int(mutated['permutation'].derive_keys(vector['seed'], *vector['arguments'])[0]):016x}" != vector["key"]:
            yield "key"
    for vector in VECTORS["permute"]:
        values = np.array(vector["values"])
        keys = np.full(len(values), int(vector["key"], 16), dtype=np.uint64)
        if (
            mutated["permutation"].permute(values, np.full(len(values), vector["size"]), keys).tolist()
            != vector["permuted"]
        ):
            yield "permute"
    for vector in VECTORS["samples"]:
        mixture = program_of(mutated["order"], vector)
        located = mutated["order"].locate(mixture, np.array(vector["g"]))
        if [list(row) for row in zip(*(each.tolist() for each in located), strict=True)] != vector["sourceEpochIndex"]:
            yield "samples"


class TestMutants:
    def test_the_program_as_it_is_gives_all_vectors(self) -> None:
        assert list(differences(modules("", "", ""))) == []

    @pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m[0]}: {m[1]} -> {m[2]}")
    def test_a_changed_constant_or_operator_is_noticed(self, mutant: tuple[str, str, str]) -> None:
        try:
            noticed = next(differences(modules(*mutant)), "")
        except (ValueError, IndexError, AssertionError, Endless) as error:
            noticed = repr(error)
        assert noticed
