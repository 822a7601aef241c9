#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the demo's network on frames that make_dataset wrote, and exports it as ONNX.

    make_dataset 1 30000 train && make_dataset 2 3000 test
    python3 train.py train test shapes.onnx

Needs torch 1.13 (Debian 12: python3-torch) and numpy. Not needed to build or
use firn: the trained network lies beside this script.
"""
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 10


def conv(cin, cout, kernel, stride=1, groups=1):
    return [nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(cout)]


class Block(nn.Module):
    """Inverted residual: expand, depthwise, project; added to its input where the shapes agree."""

    def __init__(self, cin, cout, expand, stride):
        super().__init__()
        mid = cin * expand
        self.body = nn.Sequential(*conv(cin, mid, 1), nn.Hardswish(),
                                  *conv(mid, mid, 3, stride, mid), nn.Hardswish(),
                                  *conv(mid, cout, 1))
        self.residual = stride == 1 and cin == cout

    def forward(self, x):
        y = self.body(x)
        return x + y if self.residual else y


def network():
    return nn.Sequential(
        *conv(3, 16, 3, 2), nn.Hardswish(),
        Block(16, 24, 3, 2), Block(24, 24, 3, 1),
        Block(24, 40, 3, 2), Block(40, 40, 3, 1), Block(40, 40, 3, 1),
        Block(40, 64, 3, 2), Block(64, 64, 3, 1),
        *conv(64, 192, 1), nn.Hardswish(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(192, CLASSES))


def load(prefix, device):
    images = torch.from_numpy(np.load(prefix + "_images.npy")).to(device)
    labels = torch.from_numpy(np.load(prefix + "_labels.npy").astype(np.int64)).to(device)
    return images, labels


def normalize(images):
    return ((images.float() - 127.5) / 64.0).to(memory_format=torch.channels_last)


def accuracy(net, images, labels):
    net.eval()
    with torch.no_grad():
        right = sum((net(normalize(x)).argmax(1) == y).sum().item()
                    for x, y in zip(images.split(500), labels.split(500)))
    return right / len(labels)


def main(train, test, out, epochs=8, batch=64):
    torch.manual_seed(1)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = load(train, device)
    test_images, test_labels = load(test, device)
    net = network().to(device, memory_format=torch.channels_last)
    print(sum(p.numel() for p in net.parameters()), "parameters")
    optimizer = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.02)
    steps = epochs * (len(labels) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for epoch in range(epochs):
        net.train()
        order = torch.randperm(len(labels), device=device)
        for i in range(len(labels) // batch):
            pick = order[i * batch:(i + 1) * batch]
            loss = F.cross_entropy(net(normalize(images[pick])), labels[pick])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        print(f"epoch {epoch}: test accuracy {accuracy(net, test_images, test_labels):.4f}", flush=True)
    net = net.cpu().to(memory_format=torch.contiguous_format).eval()
    torch.onnx.export(net, torch.zeros(1, 3, 96, 96), out, opset_version=13,
                      input_names=["frame"], output_names=["logits"],
                      dynamic_axes={"frame": {0: "N"}, "logits": {0: "N"}})


if __name__ == "__main__":
    main(*sys.argv[1:4])
