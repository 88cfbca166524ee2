"""Recognizers under bf16 autocast."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

pytest.importorskip('mmaction')
from swinv2_dense.video import Fp32ScoresHook  # isort: skip  patches imports of mmaction.models

from mmaction.models import I3DHead
from mmaction.structures import ActionDataSample


def test_heads_learn_and_predict_under_autocast():
    """Losses and scores are those of the head's own bf16 logits, read in fp32."""
    head = I3DHead(num_classes=7, in_channels=8, dropout_ratio=0.0, average_clips='prob')
    torch.nn.init.normal_(head.fc_cls.weight)
    feats = torch.randn(3, 8, 2, 4, 4)
    with torch.autocast('cpu', torch.bfloat16):
        logits = head(feats)
    assert logits.dtype == torch.bfloat16
    runner = SimpleNamespace(model=torch.nn.Sequential(head))
    for _ in range(2):  # as in a run that trains and then tests
        Fp32ScoresHook().before_run(runner)
    assert len(head._forward_hooks) == 1
    samples = [ActionDataSample().set_gt_label(label) for label in (0, 3, 6)]
    with torch.autocast('cpu', torch.bfloat16):
        losses = head.loss(feats, samples)
        predicted = head.predict(feats, samples)
    scores = logits.float().softmax(dim=1)
    expected = -scores[torch.arange(3), torch.tensor([0, 3, 6])].log().mean()
    assert losses['loss_cls'].item() == pytest.approx(expected.item(), rel=1e-5)
    assert predicted[1].pred_score.detach().numpy() == pytest.approx(
        scores[1].detach().numpy(), rel=1e-5
    )
