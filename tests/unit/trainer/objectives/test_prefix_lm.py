import contextlib
from typing import Any

import numpy as np
import pytest
import torch
from support import world_steps
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM

from pretrain_api.errors import UserError
from pretrain_trainer.data.batches import rank_slice
from pretrain_trainer.data.samples import Samples
from pretrain_trainer.evaluation.prefix_generation import after_prefix
from pretrain_trainer.objectives import Batch
from pretrain_trainer.objectives.causal_lm import CausalLanguageModel
from pretrain_trainer.objectives.prefix_lm import EmptyPrefixLanguageModel, PrefixLanguageModel, prefix_mask

pytestmark = pytest.mark.usefixtures("one_thread")

VOCABULARY = 50
_SMALL = {
    "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
LLAMA = {"model_type": "llama", **_SMALL}
QWEN3 = {"model_type": "qwen3", "head_dim": 8, **_SMALL}
MISTRAL = {"model_type": "mistral", **_SMALL}
GPT2 = {
    "model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
}  # fmt: skip
GPTJ = {"model_type": "gptj", "n_embd": 32, "n_layer": 2, "n_head": 4, "rotary_dim": 8, "n_positions": 256}
"""Its only attention adds the mask to the scores, and its output matrix has a bias."""
DECODERS = pytest.mark.parametrize("config", [LLAMA, GPT2, QWEN3, MISTRAL, GPTJ], ids=lambda c: c["model_type"])


def a_model(config: dict[str, Any], dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(1)
    settings = {**config, "vocab_size": VOCABULARY, "bos_token_id": 0, "eos_token_id": 0, "tie_word_embeddings": False}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**settings), dtype=dtype)


def samples(*document_lengths: list[int], padding: int = 0) -> Samples:
    """One row per list of document lengths, all of the same sum, behind which `padding` tokens come."""
    ids = np.stack([np.repeat(np.arange(len(d) + 1), [*d, padding]) for d in document_lengths]).astype(np.int32)
    tokens = np.random.default_rng(2).integers(0, VOCABULARY, ids.shape).astype(np.int32)
    valid = np.ones(ids.shape, dtype=np.bool_)
    valid[:, ids.shape[1] - padding :] = False
    return Samples(tokens, ids, valid, np.zeros(len(ids), dtype=np.bool_))


def uneven(count: int, width: int) -> Samples:
    """Documents of uneven length, padding, and a sample in which nothing counts."""
    rng = np.random.default_rng(3)
    starts = rng.random((count, width)) < 0.15
    starts[:, 0] = False
    valid = np.ones((count, width), dtype=np.bool_)
    valid[2], valid[5, 20:], valid[-1, 3:] = False, False, False
    tokens = rng.integers(0, VOCABULARY, (count, width)).astype(np.int32)
    return Samples(tokens, np.cumsum(starts, axis=1).astype(np.int32), valid, ~valid.any(axis=1))


def a_batch(of: Samples, seed: int = 1, document_mask: Any = "attention") -> Batch:
    return PrefixLanguageModel(seed, document_mask).batch(of, np.arange(len(of.tokens)))


class TestPrefixes:
    def test_each_length_from_none_to_all_but_the_last_token_is_as_likely(self) -> None:
        counts = np.zeros((2, 10), dtype=np.int64)
        prefix = a_batch(samples(*[[10, 10]] * 20_000))["prefix"].numpy()
        for document in range(2):
            lengths = prefix[:, 10 * document : 10 * document + 10].sum(axis=1)
            counts[document] = np.bincount(lengths, minlength=10)
        # Binomial: 2,000 of each, with a standard deviation of 42.
        assert counts.shape == (2, 10)
        assert np.abs(counts - 2000).max() < 4.5 * 42
        assert counts.sum() == 40_000

    def test_are_the_beginnings_of_their_documents_and_independent_of_each_other(self) -> None:
        prefix = a_batch(samples(*[[30, 40]] * 2000))["prefix"].numpy()
        lengths = []
        for document in (prefix[:, :30], prefix[:, 30:]):
            assert (np.diff(document.astype(int), axis=1) <= 0).all()
            lengths.append(document.sum(axis=1))
        assert abs(np.corrcoef(*lengths)[0, 1]) < 0.1

    def test_never_hold_padding_or_leave_a_document_of_two_tokens_without_a_target(self) -> None:
        batch = a_batch(samples(*[[2, 3, 1, 9]] * 200, padding=7))
        assert not batch["prefix"][:, 15:].any()
        targets = PrefixLanguageModel(1).targets(batch)
        assert int(targets.min()) >= 3
        assert int(targets.max()) <= 1 + 2 + 0 + 8

    def test_without_the_document_mask_there_is_one_for_the_whole_sequence(self) -> None:
        batch = a_batch(samples(*[[5, 5, 5, 5]] * 500, padding=3), document_mask="none")
        lengths = batch["prefix"].sum(dim=1)
        assert (batch["prefix"][:, :20].long().diff(dim=1) <= 0).all()
        assert sorted(lengths.unique().tolist()) == list(range(20))
        assert batch["documents"].unique(dim=0).tolist() == [[0] * 20 + [1] * 3]


class TestBatch:
    @pytest.mark.parametrize("world", [1, 2, 3, 7])
    def test_is_the_same_however_the_samples_are_divided_over_ranks(self, world: int) -> None:
        whole, positions = uneven(11, 33), np.arange(100, 111)
        expected, objective = PrefixLanguageModel(5).batch(whole, positions), PrefixLanguageModel(5)
        slices = [rank_slice(11, rank, world) for rank in range(world)]
        parts = [objective.batch(whole.rows(rows), positions[rows]) for rows in slices]
        for name, tensor in expected.tensors.items():
            assert torch.equal(torch.cat([part[name] for part in parts]), tensor), name

    def test_has_other_prefixes_at_other_positions_and_with_another_seed(self) -> None:
        one = samples([20, 40, 41], [80, 1, 20])
        prefix = PrefixLanguageModel(5).batch(one, np.array([3, 4]))["prefix"]
        assert torch.equal(prefix, PrefixLanguageModel(5).batch(one, np.array([3, 4]))["prefix"])
        assert not torch.equal(prefix, PrefixLanguageModel(5).batch(one, np.array([1003, 1004]))["prefix"])
        assert not torch.equal(prefix, PrefixLanguageModel(6).batch(one, np.array([3, 4]))["prefix"])

    def test_of_nothing_predicts_nothing_and_gives_no_gradient(self) -> None:
        model, objective = a_model(LLAMA), PrefixLanguageModel(1)
        objective.prepare(model)
        nothing = a_batch(samples([20, 13])).nothing(2)
        assert objective.targets(nothing).tolist() == [0, 0]
        sums = objective.sums(model, nothing, 1.0)
        sums.objective.backward()
        assert sums.loss.tolist() == [0, 0]
        assert all(not p.grad.any() for p in model.parameters())

    def test_of_stand_ins_predicts_nothing(self) -> None:
        whole = uneven(11, 33)
        batch = a_batch(whole)
        assert int(PrefixLanguageModel(1).targets(batch)[whole.stand_ins].sum()) == 0


class TestMask:
    def test_of_two_documents_and_padding_is_as_drawn_by_hand(self) -> None:
        documents = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 2, 2]])
        prefix = torch.tensor([[1, 1, 0, 1, 1, 1, 0, 0, 0]], dtype=torch.bool)
        drawn = [
            "XX.......",
            "XX.......",
            "XXX......",
            "...XXX...",
            "...XXX...",
            "...XXX...",
            "...XXXX..",
            ".......X.",
            ".......XX",
        ]
        mask = prefix_mask(documents, prefix)
        assert mask.shape == (1, 1, 9, 9)
        assert ["".join(".X"[int(seen)] for seen in row) for row in mask[0, 0]] == drawn

    def test_targets_are_the_tokens_behind_the_prefix_of_their_own_document(self) -> None:
        # Document lengths 3 and 4, then 2 of padding; prefixes of 2 and 3 tokens.
        batch = a_batch(samples([3, 4], padding=2))
        prefix = torch.tensor([[1, 1, 0, 1, 1, 1, 0, 0, 0]], dtype=torch.bool)
        with_these = Batch({**batch.tensors, "prefix": prefix})
        assert PrefixLanguageModel(1).targets(with_these).tolist() == [2]
        none = EmptyPrefixLanguageModel(1).batch(samples([3, 4], padding=2), np.arange(1))
        assert PrefixLanguageModel(1).targets(none).tolist() == [2 + 3]


def plain(model: Any, batch: Batch) -> tuple[Tensor, Tensor]:
    """Summed loss and the loss of each sample, token by token from the definition: each sample alone, an explicit mask of
    numbers, cross-entropy over chosen targets."""
    losses = []
    for tokens, documents, prefix, valid in zip(
        *(batch[name].tolist() for name in ("tokens", "documents", "prefix", "valid")), strict=True
    ):
        length = len(tokens) - 1
        mask = torch.full((1, 1, length, length), torch.finfo(torch.float64).min, dtype=torch.float64)
        positions, chosen = [], []
        for i in range(length):
            for j in range(length):
                if documents[i] == documents[j] and (j <= i or (prefix[i] and prefix[j])):
                    mask[0, 0, i, j] = 0.0
            positions.append(i - documents.index(documents[i]))
            if documents[i + 1] == documents[i] and valid[i + 1] and not prefix[i + 1]:
                chosen.append(i)
        logits = model(
            input_ids=torch.tensor([tokens[:-1]]), attention_mask=mask, position_ids=torch.tensor([positions])
        ).logits[0]
        wanted = torch.tensor([tokens[i + 1] for i in chosen], dtype=torch.int64)
        losses.append(F.cross_entropy(logits[chosen], wanted, reduction="sum"))
    return torch.stack(losses).sum(), torch.stack(losses).detach()


class TestSums:
    @DECODERS
    @pytest.mark.parametrize("prepared", [False, True])
    def test_and_gradients_equal_those_of_a_plain_implementation(self, config: dict[str, Any], prepared: bool) -> None:
        batch, results = a_batch(samples([40, 3, 20], [9, 53, 1], padding=4)), []
        for is_plain in (True, False):
            model, objective = a_model(config, torch.float64), PrefixLanguageModel(1)
            model.config.use_cache = False
            if prepared:
                objective.prepare(model)
            if is_plain:
                total, losses = plain(model, batch)
            else:
                sums = objective.sums(model, batch, 1.0)
                total, losses = sums.objective, sums.loss
            total.backward()
            results.append([total.detach(), losses, *(p.grad for p in model.parameters() if p.grad is not None)])
        for expected, found in zip(*results, strict=True):
            torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-7, check_dtype=False)

    @pytest.mark.parametrize("document_mask", ["attention", "none"])
    @pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
    def test_without_prefixes_equal_those_of_a_causal_language_model(
        self, config: dict[str, Any], document_mask: Any
    ) -> None:
        given, results = samples([40, 3, 20], [9, 53, 1], padding=4), []
        prefixed = EmptyPrefixLanguageModel(1, document_mask)
        causal = CausalLanguageModel(document_mask)
        places = np.arange(2)
        batches = [prefixed.batch(given, places), causal.batch(given, places)]
        assert prefixed.targets(batches[0]).tolist() == causal.targets(batches[1]).tolist()
        for objective, batch in zip([prefixed, causal], batches, strict=True):
            model = a_model(config, torch.float64)
            objective.prepare(model)  # type: ignore[attr-defined]
            sums = objective.sums(model, batch, 0.25)  # type: ignore[attr-defined]
            sums.objective.backward()
            results.append([sums.objective.detach(), sums.loss, *(p.grad for p in model.parameters())])
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)

    def test_with_prefixes_are_others_than_those_of_a_causal_mask(self) -> None:
        """The tests above would not notice a mask that is ignored everywhere."""
        model, batch = a_model(LLAMA, torch.float64), a_batch(samples([64]))
        batch = Batch({**batch.tensors, "prefix": torch.arange(64)[None] < 40})
        predicted = PrefixLanguageModel(1).sums(model, batch, 1.0).loss
        hidden = Batch({**batch.tensors, "valid": batch["valid"] & ~batch["prefix"]})
        causal = CausalLanguageModel().sums(model, hidden, 1.0).loss
        assert abs(float(predicted - causal)) > 1e-4

    def test_in_bf16_have_a_gradient_near_that_in_fp32(self) -> None:
        gradients = []
        for context in (contextlib.nullcontext(), torch.autocast("cpu", torch.bfloat16)):
            model, objective = a_model(LLAMA), PrefixLanguageModel(1)
            objective.prepare(model)
            with context:
                sums = objective.sums(model, a_batch(samples([100, 41], [20, 121])), 1.0)
            sums.objective.backward()
            gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        exact, rounded = gradients
        assert torch.linalg.vector_norm(rounded - exact) < 0.02 * torch.linalg.vector_norm(exact)


def test_the_gradient_is_that_of_the_global_batch_at_any_world_size() -> None:
    objective, gradients, losses = PrefixLanguageModel(4), [], []
    for world in (1, 2, 3, 7):
        model = a_model(LLAMA, torch.float64)
        objective.prepare(model)
        gradient, loss = world_steps.step(objective, model, uneven(11, 33), np.arange(70, 81), world, micro=3)
        gradients.append(gradient)
        losses.append(loss)
    for gradient, loss in zip(gradients[1:], losses[1:], strict=True):
        torch.testing.assert_close(gradient, gradients[0], rtol=0, atol=1e-10)
        torch.testing.assert_close(loss, losses[0], rtol=1e-10, atol=1e-10)


class TestRefusals:
    @DECODERS
    def test_none_for_the_usual_decoders(self, config: dict[str, Any]) -> None:
        model = a_model(config)
        PrefixLanguageModel(1).prepare(model)
        assert model.training

    def test_of_a_model_that_ignores_the_mask(self) -> None:
        model = a_model(LLAMA)
        takes = model.forward
        model.forward = lambda **given: takes(**{**given, "attention_mask": None})
        with pytest.raises(UserError) as error:
            PrefixLanguageModel(1).prepare(model)
        assert (error.value.code, error.value.where) == ("prefix-mask-unsupported", "spec.objective.prefixLM")
        assert "do not see what follows" in str(error.value)
        assert "llama" in error.value.instead

    def test_of_a_model_that_sees_everything(self) -> None:
        model = a_model(LLAMA)
        takes = model.forward
        model.forward = lambda **given: takes(**{**given, "attention_mask": torch.ones_like(given["attention_mask"])})
        with pytest.raises(UserError) as error:
            PrefixLanguageModel(1, "none").prepare(model)
        assert error.value.code == "prefix-mask-unsupported"
        assert "see those that follow" in str(error.value)

    def test_of_a_model_without_attention(self) -> None:
        model = a_model({"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4})
        with pytest.raises(UserError) as error:
            PrefixLanguageModel(1).prepare(model)
        assert error.value.code == "prefix-mask-unsupported"
        assert model.training

    def test_of_a_model_that_sees_other_documents_but_only_with_the_document_mask(self) -> None:
        model = a_model(LLAMA)
        takes = model.forward

        def without_documents(**given: Any) -> Any:
            # Each token also sees what lies before: in the probe, the first document.
            mask = given["attention_mask"]
            before = torch.ones(mask.shape[2:], dtype=torch.bool).tril()
            return takes(**{**given, "attention_mask": mask | before})

        model.forward = without_documents
        with pytest.raises(UserError) as error:
            PrefixLanguageModel(1).prepare(model)
        assert error.value.code == "document-mask-unsupported"
        assert error.value.where == "spec.objective.prefixLM.documentMask"
        PrefixLanguageModel(1, "none").prepare(model)


class TestContinuation:
    @DECODERS
    def test_is_that_of_full_passes_with_the_mask_of_a_prefix(self, config: dict[str, Any]) -> None:
        model = a_model(config).eval()
        torch.nn.init.normal_(model.get_output_embeddings().weight)  # so that the most probable token changes
        prompt = torch.tensor([[5, 17, 3, 44, 8, 21]])
        expected, tokens = [], prompt
        with torch.no_grad():
            found = after_prefix(model, prompt, 12, end_of_text=-1, is_sampled=False)
            for _ in range(12):
                length = tokens.shape[1]
                mask = torch.zeros(1, 1, length, length)
                hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
                hidden[:6, :6] = False
                mask[0, 0, hidden] = torch.finfo(torch.float32).min
                places = torch.arange(length)[None]
                logits = model(tokens, attention_mask=mask, position_ids=places, use_cache=False).logits
                expected.append(int(logits[0, -1].argmax()))
                tokens = torch.cat([tokens, torch.tensor([[expected[-1]]])], dim=1)
        assert found == expected
        assert len(set(found)) > 3

    def test_ends_with_the_text_and_is_drawn_with_the_seed(self) -> None:
        model, prompt, drawn = a_model(LLAMA).eval(), torch.tensor([[5, 17, 3]]), []
        with torch.no_grad():
            for seed in (1, 1, 2):
                torch.manual_seed(seed)
                drawn.append(after_prefix(model, prompt, 20, end_of_text=-1, is_sampled=True))
            torch.manual_seed(1)
            ended = after_prefix(model, prompt, 20, end_of_text=drawn[0][4], is_sampled=True)
        assert drawn[0] == drawn[1] != drawn[2]
        assert ended == drawn[0][: drawn[0].index(drawn[0][4]) + 1]
