"""The same two networks in pythae's BetaVAE (Chadebec, Vincent & Allassonnière 2022), trained by its BaseTrainer.

    python -m pip install --no-deps --target FOLDER pythae==0.1.2
    PYTHONPATH=FOLDER python benchmarks/reference_pythae.py corpus.npz [--epochs 1] [--plain]

pythae is installed for this comparison only, beside the environment and without what it would bring along: all it
needs is there. It runs as it is, with one thing replaced: it offers squared error and binary cross-entropy, and this
takes cross-entropy over the ten colors, so that all three trainings minimize the same. Without augmentation pythae gets
what its own pipeline would make, a tensor of one-hot grids; with it, the Dataset of reference_loader.py.
speed.py measures it in turns with the package.
"""
import argparse
import itertools
import logging
import sys
import tempfile
import time

import torch
import torch.nn.functional as F
from reference_loader import GridDataset

from arc_vae.data import N_COLORS, load_corpus
from arc_vae.code.network import NETWORKS
from arc_vae.model import gaussian_heads, one_hot

try:
    from pythae.data.datasets import BaseDataset, DatasetOutput
    from pythae.models import BetaVAE, BetaVAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
except ImportError as e:
    sys.exit(f"pythae cannot be imported ({e}): python -m pip install --no-deps --target FOLDER pythae==0.1.2, "
             "then PYTHONPATH=FOLDER before the command")


class Encoder(BaseEncoder):
    "The reference encoder on one-hot grids."
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        mu, logvar = gaussian_heads(self.net(x))
        return ModelOutput(embedding=mu, log_covariance=logvar)


class Decoder(BaseDecoder):
    "The reference decoder."
    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, z): return ModelOutput(reconstruction=self.net(z))


class ColorBetaVAE(BetaVAE):
    "BetaVAE with the likelihood of colors instead of that of numbers."
    def loss_function(self, recon_x, x, mu, log_var, z):
        reconstruction = F.cross_entropy(recon_x, x.argmax(1), reduction="none").flatten(1).sum(1)
        kl = -.5*torch.sum(1 + log_var - mu.pow(2) - log_var.exp(), dim=-1)
        return (reconstruction + self.beta*kl).mean(), reconstruction.mean(), kl.mean()


class AugmentedDataset(GridDataset):
    "Items as pythae wants them."
    def __getitem__(self, i): return DatasetOutput(data=super().__getitem__(i), labels=torch.ones(1))


def dataset_of(grids, augment):
    "Grids as pythae takes them; the labels are not used."
    if augment: return AugmentedDataset(grids)
    return BaseDataset(one_hot(torch.as_tensor(grids)).contiguous(), torch.ones(len(grids)))


def epochs_of(grids, batch_size=128, augment=True, folder=".", halves=None):
    """A function that trains one more epoch of the halves of a reference network with pythae's loop and returns its
    mean loss; pythae makes a folder for its checkpoints."""
    encoder, decoder = halves or NETWORKS["reference"](10)
    settings = BetaVAEConfig(input_dim=(N_COLORS, 16, 16), latent_dim=10, beta=1.)
    model = ColorBetaVAE(settings, Encoder(encoder.net), Decoder(decoder.net))
    data = dataset_of(grids, augment)
    config = BaseTrainerConfig(output_dir=folder, per_device_train_batch_size=batch_size, learning_rate=1e-3,
                               no_cuda=True)
    trainer = BaseTrainer(model, data, training_config=config)
    trainer.prepare_training()
    epochs = itertools.count(1)
    return lambda: trainer.train_step(next(epochs))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--plain", action="store_true", help="without augmentation")
    args = parser.parse_args()
    logging.disable(logging.INFO)
    grids = load_corpus(args.corpus).train.numpy()
    with tempfile.TemporaryDirectory() as folder:
        epoch = epochs_of(grids, args.batch_size, not args.plain, folder)
        for e in range(args.epochs):
            start = time.perf_counter()
            loss = epoch()
            print(f"epoch {e + 1}: loss {loss:.2f}, {len(grids)/(time.perf_counter() - start):,.0f} grids/s")


if __name__ == "__main__":
    main()
