"""Train: from token shards to a trained model, on the ranks that the agent started.

Imports torch, so it is imported for this stage alone.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from torch.utils import deterministic

from pretrain_api import layout
from pretrain_api import objectives as objectives_api
from pretrain_api.nouns import counted
from pretrain_api.run_length import run_length
from pretrain_api.stages import Flow, Stage
from pretrain_trainer import models, tokenizer
from pretrain_trainer.agent.board import Phase, mark
from pretrain_trainer.context import StageContext, StageResult
from pretrain_trainer.data import opened
from pretrain_trainer.data.batches import GlobalBatches
from pretrain_trainer.data.mixture import check_length, data_order, mixture_of, segments_from
from pretrain_trainer.data.order import Mixture
from pretrain_trainer.data.quarantine import Quarantine
from pretrain_trainer.data.reader import SampleReader
from pretrain_trainer.evaluation import trained
from pretrain_trainer.objectives import Batch
from pretrain_trainer.training import attention, device_memory, flops, host, sharding, snapshots, world
from pretrain_trainer.training import optimizer as optimizers
from pretrain_trainer.training import precision as precisions
from pretrain_trainer.training.checkpoints import Checkpoints, Position, model_tensors
from pretrain_trainer.training.evaluation import Validation
from pretrain_trainer.training.gradients import Gradients
from pretrain_trainer.training.history import last_loss
from pretrain_trainer.training.loop import Training
from pretrain_trainer.training.numbers import cpu_micro_batch


def run(context: StageContext) -> StageResult:
    """Train to the end, from the newest checkpoint where there is one."""
    mark(Phase.JOINING)
    with world.join(context.spec.training.parallelism.shard) as here:
        mark(Phase.LOADING)
        training, facts = prepare(context, here)
        try:
            training.run()
        finally:
            mark(Phase.SAVING)  # what is left, even of a failure, is told to storage
        return _result(training, facts)


def prepare(context: StageContext, here: world.World) -> tuple[Training, dict[str, Any]]:
    """Everything up to the first step, and the facts of the run that its record holds."""
    spec, settings = context.spec, context.spec.training
    length = run_length(settings)
    manifests = opened.manifests(context)
    made_of, weights = [manifest for _, manifest in manifests], tuple(source.weight for source in spec.data.sources)
    segments = segments_from((), weights, 0)
    mixture = mixture_of(spec, made_of, segments)
    check_length(mixture, length.samples, spec)

    module, objective = trained.untrained(spec, tokenizer.of_job(context))
    objective.prepare(module)
    precision = precisions.resolve(settings.precision, here.device)
    if here.device.type == "cpu":
        host.keep_freed_memory()
        if spec.objective.causal_lm:
            attention.use(module)
        torch.use_deterministic_algorithms(True)
        deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    peak = flops.peak_per_second(here.device)
    sample_flops = flops.of_job(objective.exported(module), spec) if objectives_api.learns_text(spec) else 0.0
    module.to(here.device)
    if settings.activation_checkpointing == "full":
        sharding.recompute_activations(module)
    if settings.compile:
        sharding.compile_blocks(module)
    sharding.shard(module, here, precision)

    optimizer = optimizers.build(module, settings.optimizer, settings.global_batch_size)
    forward_context = functools.partial(precisions.autocast, precision, here.device)
    names = [source.name for source in spec.data.sources]

    quarantine = Quarantine(context.storage, context.fingerprint, spec.data.max_bad_records)

    def batches(mixture: Mixture, start: int) -> GlobalBatches[Any, Batch]:
        reader = opened.reader(context.storage, manifests, "train", quarantine, spec.data.cache)
        # Records of tokens hold samples of several ranks.
        machine = world.ranks_of_machine(here) if isinstance(reader, SampleReader) else None
        return GlobalBatches(
            reader, mixture, settings.global_batch_size, here.rank, here.size, start, objective.batch, machine
        )

    state = {**model_tensors(module), **optimizer.state_tensors()}
    training = Training(
        context=context,
        world=here,
        model=module,
        objective=objective,
        optimizer=optimizer,
        gradients=Gradients(module, here),
        checkpoints=Checkpoints(context.storage, context.fingerprint, spec.checkpoint, here),
        snapshots=snapshots.of_agent(list(state.values()), here, is_shared=here.mesh is None),
        validation=Validation(
            opened.reader(context.storage, manifests, "validation", quarantine),
            names,
            [manifest.validation.samples for _, manifest in manifests],
            objective,
            here,
            forward_context,
        ),
        batches=batches,
        mixture=mixture,
        segments=segments,
        forward_context=forward_context,
        length=length,
        sources=names,
        flops_per_sample=sample_flops,
        peak_flops=peak * here.size if peak else None,
    )
    resumed = training.restore()
    if resumed:
        newest = training.checkpoints.newest
        training.segments = segments_from(newest.segments if newest else (), weights, training.position.samples)
        training.mixture = mixture_of(spec, made_of, training.segments)
    else:
        largest = -(-settings.global_batch_size // here.size)
        micro = settings.micro_batch_size
        positions = models.positions(spec, objective.exported(module).config)
        if objectives_api.needs(spec.objective).passes_together:
            micro = largest
        elif micro is None and here.device.type == "cuda":

            def trial(samples: int) -> Batch:
                return objective.batch(opened.blank(spec, samples), np.arange(samples, dtype=np.int64))

            micro = device_memory.micro_batch(module, objective, forward_context, here, trial, positions, largest)
        elif micro is None:
            micro = cpu_micro_batch(positions, largest)
        training.position = Position(micro_batch_size=min(micro, largest))
    facts = {
        "parameters": sum(p.numel() for p in objective.exported(module).parameters()),
        "worldSize": here.size,
        "microBatchSize": training.position.micro_batch_size,
        "precision": precision,
        "device": torch.cuda.get_device_name(here.device) if here.device.type == "cuda" else "cpu",
        "torchVersion": torch.__version__,
    }
    per_sample = objectives_api.tokens_per_sample(spec)
    message = (
        f"{facts['parameters']:,} parameters, {counted(length.steps, 'step')} of "
        f"{counted(settings.global_batch_size, 'sample')}"
        + (f" x {per_sample} tokens = {length.samples * per_sample:,} tokens" if per_sample else "")
        + f"; {counted(here.size, 'rank')} x micro-batches of "
        f"{facts['microBatchSize']}, {precision} on {facts['device']}"
        + (f"; resumed at step {training.position.step}" if resumed else "")
        + (" from memory" if resumed == "memory" else "")
    )
    if resumed and training.segments[-1].start == training.position.samples:
        message += f"; from its sample {training.position.samples:,} on with other weights"
    if here.is_first:
        order = data_order(context.storage, spec, context.fingerprint, context.upstream[Stage.ENCODE])
        context.storage.write_json(
            layout.ledger_order(context.fingerprint), order.model_dump(mode="json", by_alias=True)
        )
    context.progress.update("step", training.position.step, length.steps, "steps", message=message)
    return training, facts


def _result(training: Training, facts: Mapping[str, Any]) -> StageResult:
    commit, position = training.checkpoints.newest, training.position
    sha256 = parameters_sha256(training.objective.exported(training.model))
    loss = None
    if training.world.is_first:
        assert commit is not None
        loss = last_loss(training.context.storage, commit.history)
    details = {
        **facts,
        "step": position.step,
        "samples": position.samples,
        "tokens": position.tokens,
        "finalLoss": loss,
        "parametersSha256": sha256,
        "checkpoint": commit.data if commit else "",
        "skippedSteps": position.skipped,
        "standInSamples": position.stand_ins,
        "dataWaitP50Seconds": round(training.waits.quantile(0.5), 6),
        "dataWaitP999Seconds": round(training.waits.quantile(0.999), 6),
    }
    return StageResult(
        flow=Flow(),
        message=f"{counted(position.step, 'step')}, "
        + (f"{position.tokens:,} tokens" if position.tokens else counted(position.samples, "image"))
        + (f", final loss {loss:.4f}" if loss is not None else ""),
        details=details,
    )


def parameters_sha256(model: nn.Module) -> str:
    """SHA-256 over name, dtype, shape and bytes of each parameter in the order of names, gathered from all shards."""
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        tensor = parameter.detach()
        if isinstance(tensor, DTensor):
            tensor = tensor.full_tensor()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
