"""Networks that were tried and not taken, for quality.py: import this before arc_vae.train, which learns the names of networks when it is imported."""
import torch
from torch import nn

from arc_vae.code.network import NETWORKS, object_network
from arc_vae.data import GRID, N_COLORS
from arc_vae.model import gaussian_heads


class Residual(nn.Module):
    "A layer that adds to what it is given."
    def __init__(self, width):
        super().__init__()
        self.net = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, x): return x + self.net(x)


class SumEncoder(nn.Module):
    "A vector for each color in each cell, summed over the colored cells, then a residual network: knows nothing of objects."
    def __init__(self, latent_dim, width=128):
        super().__init__()
        self.cells = nn.EmbeddingBag(GRID*GRID*N_COLORS, width, mode="sum")
        self.net = nn.Sequential(Residual(width), Residual(width), nn.LayerNorm(width), nn.Linear(width, 2*latent_dim))

    def forward(self, x):
        grid, at = (x.flatten(1) > 0).nonzero().T
        offsets = torch.searchsorted(grid, torch.arange(len(x), device=x.device))
        return gaussian_heads(self.net(self.cells(at*N_COLORS + x.flatten(1)[grid, at].long(), offsets)))


class SeparableDecoder(nn.Module):
    "A sum of pictures that are a color times a column of rows times a row of columns."
    def __init__(self, latent_dim, width=128, pictures=64):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(latent_dim, width), Residual(width), Residual(width), nn.LayerNorm(width), nn.Linear(width, pictures*(N_COLORS + 2*GRID)))
        self.bias = nn.Parameter(torch.tensor([5.] + [0.]*(N_COLORS - 1))[:, None, None].repeat(1, GRID, GRID))

    def forward(self, z):
        color, row, column = self.net(z).unflatten(1, (-1, N_COLORS + 2*GRID)).split((N_COLORS, GRID, GRID), 2)
        return torch.einsum("bkc,bky,bkx->bcyx", color, row, column) + self.bias


NETWORKS.update(
    separable=lambda d: (SumEncoder(d), SeparableDecoder(d)),
    **{f"bases_{n}": object_network(bases=n) for n in (24, 96, 192, 384, 512, 1024)},  # pictures of the codebook, in eight orientations each
    **{f"weight_{w}": object_network(rate_weight=w) for w in (.4, .5, .6, .8, 1.)})    # how much of an entry's rate its choice considers
