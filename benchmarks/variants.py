"""Networks that were tried and not taken, for quality.py: import this before arc_vae.train, which learns the names of
networks when it is imported."""
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
    """A vector for each color in each cell, summed over the colored cells, then a residual network: knows nothing of
    objects."""
    def __init__(self, latent_dim, width=128):
        super().__init__()
        self.cells = nn.EmbeddingBag(GRID*GRID*N_COLORS, width, mode="sum")
        self.net = nn.Sequential(Residual(width), Residual(width), nn.LayerNorm(width), nn.Linear(width, 2*latent_dim))

    def forward(self, x):
        x = x.flatten(1)
        grid, cell = (x > 0).nonzero().T
        first = torch.searchsorted(grid, torch.arange(len(x), device=x.device))  # cell of each grid
        vectors = self.cells(cell*N_COLORS + x[grid, cell].long(), first)
        return gaussian_heads(self.net(vectors))


class SeparableDecoder(nn.Module):
    "A sum of pictures that are a color times a column of rows times a row of columns."
    def __init__(self, latent_dim, width=128, pictures=64):
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(latent_dim, width), Residual(width), Residual(width), nn.LayerNorm(width),
            nn.Linear(width, pictures*(N_COLORS + 2*GRID)))
        black = torch.tensor([5.] + [0.]*(N_COLORS - 1))
        self.bias = nn.Parameter(black[:, None, None].repeat(1, GRID, GRID))

    def forward(self, z):
        factors = self.net(z).unflatten(1, (-1, N_COLORS + 2*GRID))
        color, row, column = factors.split((N_COLORS, GRID, GRID), 2)
        return torch.einsum("bkc,bky,bkx->bcyx", color, row, column) + self.bias


def separable(latent_dim):
    "An encoder and a decoder that know nothing of objects."
    return SumEncoder(latent_dim), SeparableDecoder(latent_dim)


NETWORKS["separable"] = separable
for n in (24, 96, 192, 384, 512, 1024):  # pictures of the codebook, in eight orientations each
    NETWORKS[f"bases_{n}"] = object_network(bases=n)
for weight in (.4, .5, .6, .8, 1.):  # how much of an entry's rate its choice considers
    NETWORKS[f"weight_{weight}"] = object_network(rate_weight=weight)
