"""The data sets: their files with checksums, where they come from, and whom to credit."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["BUNDLED", "CATALOGUE", "Dataset", "File"]


@dataclass(frozen=True)
class File:
    """A file of a data set, as its authors publish it: compressed IDX.

    Copies that were compressed anew, such as Debian's, hold the same values and have other checksums.
    """

    name: str
    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class Dataset:
    """What is known of a data set without reading it."""

    name: str
    title: str
    train: int  # images, each uint8 (28, 28)
    test: int
    class_names: tuple[str, ...]
    x_train: File
    y_train: File
    x_test: File
    y_test: File
    mirrors: tuple[str, ...]  # folders of the web that hold the files, tried in turn
    folders: tuple[Path, ...]  # folders of this machine that may hold the files
    licence: str
    credit: str
    homepage: str

    @property
    def files(self):
        """The four files in the order x_train, y_train, x_test, y_test."""
        return self.x_train, self.y_train, self.x_test, self.y_test


BUNDLED = Path(__file__).parent / "data"

_GARMENTS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
_ZALANDO = (
    "Han Xiao, Kashif Rasul, Roland Vollgraf: Fashion-MNIST: a Novel Image Dataset for Benchmarking Machine "
    "Learning Algorithms. arXiv:1708.07747, 2017. Copyright 2017 Zalando SE."
)

_DATASETS = (
    Dataset(
        name="fashion-mnist-mini",
        title="6,000 + 1,000 images of Fashion-MNIST, every class equally often; comes with fastnn",
        train=6_000,
        test=1_000,
        class_names=_GARMENTS,
        x_train=File(
            "train-images-idx3-ubyte.gz",
            2_619_171,
            "a999c4c9e6641af81a998a4520d5756722c56fade8ff9e2b429ff7b1afca296f",
        ),
        y_train=File(
            "train-labels-idx1-ubyte.gz",
            3_074,
            "b6a9eef4f48dce7367a873cfc2a990e50a08f71da403c1b3d3b426e480620cff",
        ),
        x_test=File(
            "t10k-images-idx3-ubyte.gz",
            436_479,
            "bda2a7c83006bc0128c7c618bdbd8081efd4d9eebc8b7f910fc89658d490b38a",
        ),
        y_test=File(
            "t10k-labels-idx1-ubyte.gz",
            520,
            "572db93d5de68549bd11abbc9b78bb5343049a5025dfbf39e5f57fda56d91896",
        ),
        mirrors=(),
        folders=(BUNDLED,),
        licence="MIT",
        credit=_ZALANDO,
        homepage="https://github.com/zalandoresearch/fashion-mnist",
    ),
    Dataset(
        name="fashion-mnist",
        title="articles of clothing in ten classes, a harder stand-in for MNIST",
        train=60_000,
        test=10_000,
        class_names=_GARMENTS,
        x_train=File(
            "train-images-idx3-ubyte.gz",
            26_421_880,
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        ),
        y_train=File(
            "train-labels-idx1-ubyte.gz",
            29_515,
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        ),
        x_test=File(
            "t10k-images-idx3-ubyte.gz",
            4_422_102,
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        ),
        y_test=File(
            "t10k-labels-idx1-ubyte.gz",
            5_148,
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        ),
        mirrors=(
            # Plain HTTP is what the authors offer there; the checksums stand in for the missing TLS.
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
        ),
        folders=(Path("/usr/share/datasets/fashion-mnist"),),  # Debian's package dataset-fashion-mnist
        licence="MIT",
        credit=_ZALANDO,
        homepage="https://github.com/zalandoresearch/fashion-mnist",
    ),
    Dataset(
        name="mnist",
        title="handwritten digits",
        train=60_000,
        test=10_000,
        class_names=tuple("0123456789"),
        x_train=File(
            "train-images-idx3-ubyte.gz",
            9_912_422,
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        ),
        y_train=File(
            "train-labels-idx1-ubyte.gz",
            28_881,
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        ),
        x_test=File(
            "t10k-images-idx3-ubyte.gz",
            1_648_877,
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        ),
        y_test=File(
            "t10k-labels-idx1-ubyte.gz",
            4_542,
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        ),
        mirrors=(
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
        ),
        folders=(),
        licence="CC BY-SA 3.0",
        credit=(
            "Yann LeCun, Corinna Cortes, Christopher J. C. Burges: The MNIST Database of Handwritten Digits, 1998. "
            "Copyright Yann LeCun and Corinna Cortes."
        ),
        homepage="http://yann.lecun.com/exdb/mnist/",
    ),
)

CATALOGUE = {dataset.name: dataset for dataset in _DATASETS}
