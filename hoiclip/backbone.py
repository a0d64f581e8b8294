"""ResNet with batch norm either frozen (the published model) or trained (the demonstration model from scratch)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet
from torchvision.ops import FrozenBatchNorm2d

from hoiclip.config import ModelConfig

NormLayer = Callable[[int], nn.Module]


class Backbone(ResNet):  # type: ignore[misc]  # torchvision is untyped
    """A torchvision ResNet without pooling and classifier, of any width; returns `layer4`'s features.

    `config.stride` 16 keeps `layer4` at `layer3`'s resolution, so that small objects keep a cell of their own.
    """

    def __init__(self, config: ModelConfig, *, frozen_batch_norm: bool) -> None:
        nn.Module.__init__(self)  # the parent would build the full-width network first
        block: type[BasicBlock | Bottleneck] = BasicBlock if config.backbone_block == "basic" else Bottleneck
        self._norm_layer: NormLayer = (
            partial(FrozenBatchNorm2d, eps=1e-5) if frozen_batch_norm else partial(nn.BatchNorm2d, eps=1e-5)
        )
        width = config.backbone_width
        self.inplanes, self.dilation, self.groups, self.base_width = width, 1, 1, 64
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = self._norm_layer(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        one, two, three, four = config.backbone_layers
        self.layer1 = self._make_layer(block, width, one)
        self.layer2 = self._make_layer(block, 2 * width, two, stride=2)
        self.layer3 = self._make_layer(block, 4 * width, three, stride=2)
        self.layer4 = self._make_layer(block, 8 * width, four, stride=2 if config.stride == 32 else 1)
        self.num_channels = 8 * width * block.expansion
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Tensor) -> Tensor:
        """Return features [B, C, ceil(H/stride), ceil(W/stride)] of a normalised image [B, 3, H, W]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        features: Tensor = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return features
