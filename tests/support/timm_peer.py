"""An image classifier of timm as a detector, with the weights it is drawn with."""

import timm
import torch


class Classifier:
    size, batch, device = 64, 16, "cpu"
    mean, std = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)

    def __init__(self):
        torch.manual_seed(0)
        self.net = timm.create_model("resnet10t", pretrained=False, num_classes=2).eval()

    @torch.inference_mode()
    def __call__(self, pictures):
        return self.net(torch.from_numpy(pictures)).softmax(-1)


def make():
    return Classifier()
