"""Our runner of the race; see `benchmarks.race`."""

from __future__ import annotations

import time
from functools import partial

import jax
import jax.numpy as jnp

from benchmarks import ours, race_task
from benchmarks.program import Program


class Side:
    """Trains so many steps when told to, and validates when told to."""

    def prepare(self, settings: dict, rate: float, export: str = "") -> dict:
        """Compiles; returns the seconds of everything before the first step.

        Args:
            settings: of the `Program`.
            rate: of Adam.
            export: where the initial weights are written for the other side.
        """
        began = time.perf_counter()
        self.program, self.step = Program.of(settings), 0
        self.run = ours.training(self.program, dropout=0.0, rate=rate)
        self.state = self.run.init(jax.random.key(0, impl="rbg"))
        export_s = ours.write_weights(self.state.variables, export)
        image, self.truth = race_task.validation()
        self.image = jax.device_put(image[..., None])
        batch = self._batch(0)
        self.train, facts = ours.compiled_for(self.run.step, self.state, batch)
        self.predict, more = self._predictor()
        compile_s = facts["compile_s"] + more["compile_s"]
        prepare_s = time.perf_counter() - began - export_s
        return {"prepare_s": prepare_s, "compile_s": compile_s}

    def advance(self, steps: int) -> dict:
        """Trains; the batches are drawn before the clock starts."""
        batches = [self._batch(self.step + i) for i in range(steps)]
        jax.block_until_ready(batches)
        began = time.perf_counter()
        for batch in batches:
            self.state, metrics = self.train(self.state, batch)
        loss = float(metrics["loss"])
        jax.block_until_ready(self.state)
        self.step += steps
        return {"seconds": time.perf_counter() - began, "loss": loss}

    def validate(self) -> dict:
        """Mean foreground Dice of the validation volumes."""
        began = time.perf_counter()
        labels = jax.device_get(self.predict(self.state.variables, self.image))
        dice = race_task.foreground_dice(labels, self.truth)
        return {"dice": dice, "seconds": time.perf_counter() - began}

    def _batch(self, step: int) -> dict:
        image, label = race_task.batch(step, self.program.batch)
        return self.run.put({"image": image[..., None], "label": label})

    def _predictor(self):
        """(variables, image) -> classes, compiled."""
        apply = partial(ours.network(self.program, 0.0).apply, train=False)
        predict = jax.jit(lambda v, x: jnp.argmax(apply(v, x)[-1], -1))
        return ours.compiled_for(predict, self.state.variables, self.image)
