"""This training as tutorials write it: a Dataset whose items are turned, recolored and one-hot one by one, a
DataLoader, Adam as it comes, and `.item()` after every step for the log.

    python benchmarks/reference_loader.py corpus.npz [--epochs 1] [--workers 2] [--plain]

The two networks are those of `reference` (NETWORKS in arc_vae.model), the loss is the same: cross-entropy summed over
cells plus beta times the KL divergence. speed.py measures it in turns with the package.
"""
import argparse
import random
import time

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

from arc_vae.data import N_COLORS, load_corpus
from arc_vae.code.network import NETWORKS
from arc_vae.model import gaussian_heads


class GridDataset(Dataset):
    "One-hot grids, (10, 16, 16)."
    def __init__(self, grids, augment=True):
        self.grids = np.asarray(grids)
        self.augment = augment

    def __len__(self): return len(self.grids)

    def __getitem__(self, i):
        grid = self.grids[i]
        if self.augment:
            grid = np.rot90(grid, random.randrange(4))
            if random.random() < .5: grid = np.fliplr(grid)
            colors = np.concatenate([[0], 1 + np.random.permutation(N_COLORS - 1)])
            grid = colors[grid]
        grid = torch.from_numpy(np.ascontiguousarray(grid))
        return F.one_hot(grid.long(), N_COLORS).permute(2, 0, 1).float()


class BetaVAE(nn.Module):
    "The reference networks on one-hot grids."
    def __init__(self, encoder, decoder):
        super().__init__()
        self.encoder, self.decoder = encoder.net, decoder.net

    def forward(self, x):
        mu, logvar = gaussian_heads(self.encoder(x))
        z = mu + torch.exp(.5*logvar)*torch.randn_like(mu)
        return self.decoder(z), mu, logvar


def losses(logits, x, mu, logvar):
    "Reconstruction and KL divergence, nats a grid."
    reconstruction = F.cross_entropy(logits, x.argmax(1), reduction="sum")/len(x)
    kl = -.5*torch.sum(1 + logvar - mu.pow(2) - logvar.exp())/len(x)
    return reconstruction, kl


def loader_of(grids, batch_size=128, augment=True, workers=0):
    "A DataLoader over grids; its workers stay from one epoch to the next."
    data = GridDataset(grids, augment)
    return DataLoader(data, batch_size=batch_size, shuffle=True, num_workers=workers, persistent_workers=workers > 0)


def train_epoch(model, optimizer, loader, beta=1.):
    "Every grid once; the mean loss of the steps."
    model.train()
    log = []
    for x in loader:
        optimizer.zero_grad()
        logits, mu, logvar = model(x)
        reconstruction, kl = losses(logits, x, mu, logvar)
        loss = reconstruction + beta*kl
        loss.backward()
        optimizer.step()
        log.append((loss.item(), reconstruction.item(), kl.item()))
    return float(np.mean(log, axis=0)[0])


def epochs_of(grids, batch_size=128, augment=True, workers=0, halves=None):
    "A function that trains one more epoch of the halves of a reference network and returns its mean loss."
    model = BetaVAE(*halves or NETWORKS["reference"](10))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    loader = loader_of(grids, batch_size, augment, workers)
    return lambda: train_epoch(model, optimizer, loader)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--plain", action="store_true", help="without augmentation")
    args = parser.parse_args()
    grids = load_corpus(args.corpus).train.numpy()
    epoch = epochs_of(grids, args.batch_size, not args.plain, args.workers)
    for e in range(args.epochs):
        start = time.perf_counter()
        loss = epoch()
        print(f"epoch {e + 1}: loss {loss:.2f}, {len(grids)/(time.perf_counter() - start):,.0f} grids/s")


if __name__ == "__main__":
    main()
