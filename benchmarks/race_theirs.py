"""PyTorch's runner of the race; see `benchmarks.race`."""

from __future__ import annotations

import time

import torch

from benchmarks import race_task, ranks, theirs
from benchmarks.program import Program


class Side:
    """Trains so many steps when told to, and validates when told to."""

    def prepare(self, settings: dict, rate: float, weights: str = "") -> dict:
        """Builds; returns the seconds of everything before the first step.

        Args:
            settings: of the `Program`.
            rate: of Adam.
            weights: the initial weights, a state dict as .npz.
        """
        began = time.perf_counter()
        torch.backends.cudnn.benchmark = True
        self.program, self.step = Program.of(settings), 0
        self.device = ranks.device()
        self.net = theirs.network(self.program, weights, self.device, dropout=0.0)
        self.train = theirs.stepper(self.program, self.net, self.device, rate)
        image, self.truth = race_task.validation()
        self.image = self._on_device(image)
        return {"prepare_s": time.perf_counter() - began, "compile_s": 0.0}

    def advance(self, steps: int) -> dict:
        """Trains; the batches are drawn before the clock starts."""
        batches = [self._batch(self.step + i) for i in range(steps)]
        self.net.train()
        began = time.perf_counter()
        for image, label in batches:
            loss = self.train(image, label)
        loss = loss.item()  # waits until the last step is done
        self.step += steps
        return {"seconds": time.perf_counter() - began, "loss": loss}

    @torch.inference_mode()
    def validate(self) -> dict:
        """Mean foreground Dice of the validation volumes."""
        began = time.perf_counter()
        self.net.eval()
        with theirs.autocast(self.program, self.device):
            labels = self.net(self.image)[-1].argmax(1).cpu().numpy()
        dice = race_task.foreground_dice(labels, self.truth)
        return {"dice": dice, "seconds": time.perf_counter() - began}

    def _batch(self, step: int):
        image, label = race_task.batch(step, self.program.batch)
        return self._on_device(image), torch.from_numpy(label).long().to(self.device)

    def _on_device(self, image):
        return theirs.placed(
            self.program, torch.from_numpy(image)[:, None], self.device
        )
