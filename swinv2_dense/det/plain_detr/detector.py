"""Plain-DETR (arXiv 2308.01904): a DETR whose decoder attends to one map of a plain backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.registry import MODELS, TASK_UTILS
from mmdet.structures import OptSampleList, SampleList
from mmengine.model import constant_init
from torch import Tensor, nn

from ...errors import ConfigError
from ...models.precision import without_autocast
from .decoder import PlainDETRDecoder
from .head import Predictions
from .position_encoding import sine
from .proposals import MultiStrideProposals

BACKBONE_STRIDE = 32  # pixels per cell of the last map, whose sides are rounded up


@MODELS.register_module()
class PlainDETR(DetectionTransformer):
    """Two-stage DETR on a single map, without an encoder.

    backbone -> neck (one map at stride 16) -> proposals at strides 8 to 64 -> decoder -> head

    Backbone and neck see one image at a time, at its own size, so that an image has the same
    outputs alone and in a padded batch: their norms and global attention would see the padding.
    Whatever follows masks it.

    Args:
        backbone, neck, bbox_head, positional_encoding, train_cfg, test_cfg, data_preprocessor,
            init_cfg: See `DetectionTransformer`.
        decoder: Arguments of `PlainDETRDecoder`.
        num_queries: One-to-one queries.
        num_one_to_many: Queries of the one-to-many branch, in training only.
        coordinates: Config of the form of boxes, `NormalizedBoxes` or `PixelBoxes`.
        map_stride: Pixels per cell of the neck's map.
        proposal_strides: Pixels per cell of the levels of the proposals.

    Raises:
        ConfigError: An image has fewer proposals than there are queries.
    """

    def __init__(
        self,
        *args: Any,
        decoder: dict | None = None,
        bbox_head: dict,
        num_queries: int = 300,
        num_one_to_many: int = 1500,
        coordinates: dict | None = None,
        map_stride: int = 16,
        proposal_strides: Sequence[int] = (8, 16, 32, 64),
        **kwargs: Any,
    ) -> None:
        decoder = dict(decoder or {}, map_stride=map_stride)
        self.coordinates = TASK_UTILS.build(coordinates or dict(type='NormalizedBoxes'))
        self.num_one_to_many, self.map_stride = num_one_to_many, map_stride
        self.proposal_strides = tuple(proposal_strides)
        bbox_head = dict(
            bbox_head,
            num_queries=num_queries,
            coordinates=self.coordinates,
            num_pred_layer=decoder.get('num_layers', 6) + 1,
            as_two_stage=True,
            share_pred_layer=False,
        )
        kwargs.update(decoder=decoder, bbox_head=bbox_head, num_queries=num_queries)
        super().__init__(*args, **kwargs)

    def _init_layers(self) -> None:
        self.positional_encoding = MODELS.build(self.positional_encoding)
        self.decoder = PlainDETRDecoder(**self.decoder)
        dims = self.embed_dims = self.decoder.embed_dims
        self.proposals = MultiStrideProposals(
            dims, self.map_stride, self.proposal_strides, self.coordinates
        )
        self.query_embedding = nn.Embedding(self.num_queries + self.num_one_to_many, dims)
        self.map_embed = nn.Parameter(torch.zeros(dims))
        self.pos_trans_fc = nn.Linear(2 * dims, 2 * dims)
        self.pos_trans_norm = nn.LayerNorm(2 * dims)

    def init_weights(self) -> None:
        """Initialize like the released code."""
        super().init_weights()
        for part in (self.proposals, self.pos_trans_fc):
            for param in part.parameters():
                if param.dim() > 1:
                    nn.init.xavier_uniform_(param)
        nn.init.normal_(self.map_embed)
        nn.init.normal_(self.query_embedding.weight)
        for module in self.decoder.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.LayerNorm):
                constant_init(module, 1.0)

    # ------------------------------------------------------------------------- mmdet's interface

    def loss(self, batch_inputs: Tensor, batch_data_samples: SampleList) -> dict[str, Tensor]:
        """Losses of a batch of padded images (B, 3, H, W)."""
        maps = self.extract_feat(batch_inputs, batch_data_samples)
        head_inputs = self.forward_transformer(maps, batch_data_samples)
        return self.bbox_head.loss(**head_inputs, batch_data_samples=batch_data_samples)

    def predict(
        self, batch_inputs: Tensor, batch_data_samples: SampleList, rescale: bool = True
    ) -> SampleList:
        """The same samples with `pred_instances`."""
        maps = self.extract_feat(batch_inputs, batch_data_samples)
        head_inputs = self.forward_transformer(maps, batch_data_samples)
        head_inputs.pop('proposals')
        found = self.bbox_head.predict(
            **head_inputs, rescale=rescale, batch_data_samples=batch_data_samples
        )
        return self.add_pred_to_datasample(batch_data_samples, found)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None
    ) -> list[Predictions]:
        maps = self.extract_feat(batch_inputs, batch_data_samples)
        head_inputs = self.forward_transformer(maps, batch_data_samples)
        head_inputs.pop('proposals')
        return self.bbox_head(**head_inputs)

    def extract_feat(
        self, batch_inputs: Tensor, batch_data_samples: OptSampleList = None
    ) -> tuple[Tensor]:
        """The neck's maps of all images, zero-padded to a common size, (B, C, H, W).

        One by one also where sizes agree: with FSDP, all processes must run the backbone equally
        often.
        """
        maps = []
        sizes = _image_sizes(batch_inputs, batch_data_samples)
        for image, (height, width) in zip(batch_inputs, sizes):
            (found,) = super().extract_feat(image[None, :, :height, :width])
            maps.append(found)
        height, width = (max(m.shape[axis] for m in maps) for axis in (2, 3))
        padded = [F.pad(m, (0, width - m.shape[3], 0, height - m.shape[2])) for m in maps]
        return (torch.cat(padded),)

    # --------------------------------------------------------- steps of `forward_transformer`

    def pre_transformer(
        self, img_feats: tuple[Tensor], batch_data_samples: OptSampleList = None
    ) -> tuple[dict, dict]:
        (x,) = img_feats
        sizes = torch.tensor(_image_sizes(x, batch_data_samples, self.map_stride), device=x.device)
        cells = (sizes.flip(1) / BACKBONE_STRIDE).ceil().long() * BACKBONE_STRIDE // self.map_stride
        y, x_axis = (torch.arange(side, device=x.device) for side in x.shape[-2:])
        padding = (y[:, None] >= cells[:, 1, None, None]) | (x_axis >= cells[:, 0, None, None])
        position = self.positional_encoding(padding).movedim(1, -1) + self.map_embed
        return dict(x=x, cells=cells), dict(memory_pos=position, padding=padding)

    def forward_encoder(self, x: Tensor, cells: Tensor) -> dict:
        """There is no encoder."""
        return dict(x=x, cells=cells)

    def pre_decoder(self, x: Tensor, cells: Tensor) -> tuple[dict, dict]:
        extents = (cells * self.map_stride).float()
        with without_autocast(x):  # boxes of proposals need fp32
            found = self.proposals(x.float(), cells)
            scores = self.bbox_head.cls_branches[-1](found.features)
            deltas = self.bbox_head.reg_branches[-1](found.features)
            boxes = self.coordinates.decode(found.anchors, deltas, extents)
            proposals = Predictions(scores, boxes, found.anchors, deltas, found.inside)
            references = self._best_proposals(proposals)
            query_pos = self.pos_trans_norm(
                self.pos_trans_fc(sine(references, self.embed_dims // 2))
            )
        query = self.query_embedding.weight[: references.shape[1]]
        decoder_inputs = dict(
            query=query.expand(len(x), -1, -1),
            query_pos=query_pos[..., : self.embed_dims],
            references=references,
            memory=x.movedim(1, -1),
            extents=extents,
            self_attn_mask=self._self_attn_mask(references),
        )
        return decoder_inputs, dict(extents=extents, proposals=proposals)

    def forward_decoder(self, **inputs: Any) -> dict:
        hidden_states, references = self.decoder(
            coordinates=self.coordinates, reg_branches=self.bbox_head.reg_branches, **inputs
        )
        return dict(hidden_states=hidden_states, references=references)

    def _best_proposals(self, proposals: Predictions) -> Tensor:
        """Boxes (B, Q, 4) of the highest scores; all classes of a proposal mean "object"."""
        number = self.num_queries + (self.num_one_to_many if self.training else 0)
        fewest = int(proposals.inside.sum(1).min())
        if fewest < number:
            raise ConfigError(
                f'an image has {fewest} proposals for num_queries={self.num_queries} and '
                f'num_one_to_many={self.num_one_to_many} (in training): use larger images or '
                'fewer queries'
            )
        scores = proposals.scores[..., 0].masked_fill(~proposals.inside, float('-inf'))
        best = scores.topk(number, dim=1).indices
        return proposals.boxes.gather(1, best[..., None].expand(-1, -1, 4)).detach()

    def _self_attn_mask(self, references: Tensor) -> Tensor | None:
        """Queries of one group do not see those of the other, (Q, Q)."""
        if references.shape[1] == self.num_queries:
            return None
        is_many = torch.arange(references.shape[1], device=references.device) >= self.num_queries
        return is_many[:, None] != is_many


def _image_sizes(images: Tensor, samples: OptSampleList, stride: int = 1) -> list[tuple[int, int]]:
    """(H, W) of the images without padding, from samples or images or maps of a stride."""
    if samples is None:
        return [tuple(side * stride for side in images.shape[-2:])] * len(images)
    return [tuple(sample.metainfo['img_shape'][:2]) for sample in samples]
