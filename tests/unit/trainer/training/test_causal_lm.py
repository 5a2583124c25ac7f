import contextlib
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from pretrain_api.errors import UserError
from pretrain_trainer.objectives import Batch
from pretrain_trainer.objectives.causal_lm import CausalLanguageModel, document_positions
from pretrain_trainer.training import attention

VOCABULARY = 50
LLAMA = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip
GPT2 = {
    "model_type": "gpt2", "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0,
}  # fmt: skip
MAMBA = {"model_type": "mamba", "hidden_size": 16, "num_hidden_layers": 1, "state_size": 4}


def a_model(config: dict[str, Any], dtype: torch.dtype = torch.float32) -> Any:
    torch.manual_seed(1)
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, vocab_size=VOCABULARY), dtype=dtype)


def a_batch(*document_lengths: list[int], padding: int = 0) -> Batch:
    """One row per list of document lengths, all of the same sum; the last `padding` tokens of each row are padding."""
    generator = torch.Generator().manual_seed(2)
    length = sum(document_lengths[0])
    documents = torch.stack(
        [torch.repeat_interleave(torch.arange(len(d)), torch.tensor(d)) for d in document_lengths]
    ).int()
    valid = torch.ones(len(document_lengths), length, dtype=torch.bool)
    valid[:, length - padding :] = False
    tokens = torch.randint(0, VOCABULARY, documents.shape, generator=generator)
    return Batch({"tokens": tokens, "documents": documents, "valid": valid})


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("blocks", [False, True], ids=["sdpa", "blocks"])
def test_a_document_in_a_packed_sequence_gets_the_logits_it_gets_alone(config: dict[str, Any], blocks: bool) -> None:
    model = a_model(config).eval()
    if blocks:
        attention.use(model)
    batch = a_batch([70, 30, 1, 40], [5, 100, 30, 6])
    with torch.no_grad():
        packed = model(
            input_ids=batch["tokens"], position_ids=document_positions(batch["documents"]), use_cache=False
        ).logits
        for row in range(2):
            for document in batch["documents"][row].unique():
                here = batch["documents"][row] == document
                alone = model(input_ids=batch["tokens"][row, here][None], use_cache=False).logits
                torch.testing.assert_close(packed[row, here], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("z_loss", [0.0, 1e-2])
def test_the_chunked_loss_and_its_gradient_equal_the_plain_ones(config: dict[str, Any], z_loss: float) -> None:
    batch = a_batch([300, 20, 81], [90, 300, 11], padding=5)
    config = {**config, "max_position_embeddings": 512} if config is LLAMA else {**config, "n_positions": 512}
    results = []
    for prepared in (False, True):
        model, objective = a_model(config, torch.float64), CausalLanguageModel("attention", z_loss)
        if prepared:
            objective.prepare(model)
        sums = objective.sums(model, batch, 0.25)
        sums.objective.backward()
        results.append((sums.objective.detach(), sums.loss, *(p.grad for p in model.parameters())))
    for plain, chunked in zip(*results, strict=True):
        torch.testing.assert_close(chunked, plain, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("config", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_in_bf16_the_gradient_is_near_that_in_fp32(config: dict[str, Any]) -> None:
    batch, gradients = a_batch([100, 41], [20, 121], padding=5), []
    for context in (contextlib.nullcontext(), torch.autocast("cpu", torch.bfloat16)):
        model, objective = a_model(config), CausalLanguageModel(z_loss=1e-2)
        objective.prepare(model)
        attention.use(model)
        with context:
            sums = objective.sums(model, batch, 1.0)
        sums.objective.backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
        assert sums.objective.dtype == gradients[-1].dtype == torch.float32
    exact, rounded = gradients
    assert torch.linalg.vector_norm(rounded - exact) < 0.02 * torch.linalg.vector_norm(exact)


def test_the_gradient_is_that_of_the_whole_batch_however_it_is_cut() -> None:
    batch = a_batch([20, 13], [33, 0], [5, 28], [16, 17], [1, 32], padding=3)
    whole, cut = [], []
    for gradients, pieces in ((whole, [(0, 5)]), (cut, [(0, 2), (2, 3), (3, 5)])):
        model, objective = a_model(LLAMA, torch.float64), CausalLanguageModel()
        objective.prepare(model)
        targets = int(objective.targets(batch).sum())
        for start, stop in pieces:
            objective.sums(model, batch.rows(start, stop), 1 / targets).objective.backward()
        objective.sums(model, batch.nothing(1), 1 / targets).objective.backward()
        gradients.extend(p.grad for p in model.parameters())
    for one, other in zip(whole, cut, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-14)


class TestTargets:
    def test_do_not_cross_documents_and_leave_out_padding(self) -> None:
        assert CausalLanguageModel("attention").targets(a_batch([4, 3, 3], padding=2)).tolist() == [3 + 2 + 0]

    def test_without_the_document_mask_only_leave_out_padding(self) -> None:
        assert CausalLanguageModel("none").targets(a_batch([4, 3, 3], padding=2)).tolist() == [7]


def test_a_model_that_cannot_keep_documents_apart_is_refused() -> None:
    with pytest.raises(UserError) as error:
        CausalLanguageModel("attention").prepare(a_model(MAMBA))
    assert error.value.code == "document-mask-unsupported"
    CausalLanguageModel("none").prepare(a_model(MAMBA))


def test_positions_begin_at_0_in_each_document() -> None:
    documents = torch.tensor([[0, 0, 0, 1, 2, 2], [4, 5, 5, 5, 5, 4]], dtype=torch.int32)
    assert document_positions(documents).tolist() == [[0, 1, 2, 0, 0, 1], [0, 0, 1, 2, 3, 0]]


def test_attention_in_blocks_has_the_gradients_of_the_reference() -> None:
    results = []
    for blocks in (False, True):
        model = a_model(LLAMA, torch.float32)
        if blocks:
            attention.use(model)
        sums = CausalLanguageModel().sums(model, a_batch([100, 41], [20, 121]), 1.0)
        sums.objective.backward()
        results.append([sums.loss, *(p.grad for p in model.parameters())])
    for reference, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, reference, rtol=1e-3, atol=1e-4)
