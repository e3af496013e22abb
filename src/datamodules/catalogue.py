"""What one must know to get each public dataset: its page in ``docs/datasets.md``, and its short form in an error."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent


class MissingDataset(FileNotFoundError):
    """The dataset is not where it was looked for."""


@dataclass(frozen=True)
class Entry:
    """A dataset, in words."""

    title: str
    holds: str
    licence: str
    source: str  # where to ask, or download
    size: str
    tree: str  # below the folder that is given as DATA_DIR
    stand_in: str  # the recipe of drawn data to take meanwhile
    drawn: str = "drawn pictures with the same labels"  # what that is
    download: str = ""  # the command that gets it; empty where it must be asked for
    checksums: tuple[tuple[str, str], ...] = ()  # file, md5; those that its makers or torchvision publish
    notes: str = ""

    def short(self, key: str, root: Path) -> str:
        """What an error says when the dataset is missing."""
        get = f"to get it: {self.download}" if self.download else f"to ask for it: {self.source}"
        return (
            f"\nThis is {self.title}:\n  {self.holds};\n  {self.licence}.\nExpected in {root}:\n"
            f"{indent(self.tree, '    ')}\n"
            f"- {get}; its page: docs/datasets.md, section {key}\n"
            f"- if it is elsewhere: DATA_DIR=folder\n"
            f"- to go on without it: make train DATA={self.stand_in}  ({self.drawn})"
        )

    def page(self, key: str) -> str:
        """The dataset's section of ``docs/datasets.md``."""
        rows = [("holds", self.holds), ("size", self.size), ("licence", self.licence), ("from", self.source)]
        rows.append(("get it", f"`{self.download}`" if self.download else "must be asked for at the address above"))
        rows.append(("without it", f"`make train DATA={self.stand_in}`: {self.drawn}"))
        table = "\n".join(f"| {name} | {words} |" for name, words in rows)
        parts = [f"## {key}\n\n**{self.title}**", f"| | |\n| --- | --- |\n{table}"]
        parts.append("Expected below `DATA_DIR`:\n\n" + indent(self.tree, "    "))
        if self.checksums:
            parts.append("md5:\n\n" + "\n".join(f"    {digest}  {name}" for name, digest in self.checksums))
        return "\n\n".join([*parts, self.notes] if self.notes else parts)


CATALOGUE: dict[str, Entry] = {
    "celeba": Entry(
        title="CelebA, aligned and cropped",
        holds="202,599 faces of 178x218 pixels, 40 attributes, 10,177 people",
        licence="non-commercial research only, no redistribution",
        source="http://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
        size="1.4 GB",
        tree=(
            "img_align_celeba/000001.jpg ...\n"
            "list_attr_celeba.txt          or Anno/list_attr_celeba.txt\n"
            "list_eval_partition.txt       or Eval/list_eval_partition.txt\n"
            "identity_CelebA.txt           or Anno/identity_CelebA.txt; optional"
        ),
        stand_in="synthetic-celeba",
        download="make data DATA=celeba",
        checksums=(
            ("img_align_celeba.zip", "00d2c5bc6d35e252742224ab0c1e8fcb"),
            ("list_attr_celeba.txt", "75e246fa4810816ffd6ee81facbd244c"),
            ("list_eval_partition.txt", "d32c9cbf5e040fd4025c592c306e6668"),
            ("identity_CelebA.txt", "32bd1bd63d3c78cd57e08160ec5ed1e2"),
        ),
        notes=dedent("""\
            Whose splits (`--data.init_args.protocol=NAME`):

            - `official`: the partition file;
            - `stargan` (ADSPM too): the rows shuffled with Python's seed 1234, the first 2,000 for testing;
              `stargan-code`: 1,999, as the released code has it;
            - `lomit`: 2,000 drawn at random for testing (the paper's; the seed is ours); `lomit-code`: the first 1,999
              rows for testing, and only faces with black, blond or brown hair;
            - `bridgegan`: by number, up to 182,000, up to 182,637, the rest.

            StarGAN's and LOMIT's have no validation pictures: test stands in for them, and a line says so.

            Hair has one colour in the edits that are shown and measured. 2,926 of the rows name two or more; where a
            paper's targets of training are labels of other pictures, these occur among them, as they did there.

            Crops (`--data.init_args.crop=NAME`): `centre`, the middle 178 pixels (StarGAN, ADSPM, LOMIT); `bridgegan`,
            170 pixels from (3, 26); `null`, the largest centred square of whatever the pictures are."""),
    ),
    "celeba-hq": Entry(
        title="CelebA-HQ",
        holds="30,000 faces of 256, 512 or 1024 pixels, with CelebA's attributes",
        licence="CC BY-NC 4.0 (the copy of StarGAN v2), non-commercial research; CelebA's terms apply too",
        source="https://github.com/switchablenorms/CelebAMask-HQ (512 and 1024 pixels, with attributes), "
        "https://github.com/clovaai/stargan-v2 (256 pixels, two domains)",
        size="2.7 GB (CelebAMask-HQ)",
        tree=(
            "CelebA-HQ-img/0.jpg ...                    with CelebAMask-HQ-attribute-anno.txt and\n"
            "                                           CelebA-HQ-to-CelebA-mapping.txt\n"
            "or any folders of NNNNNN.jpg (or .png)     CelebA's own numbers, with its list_attr_celeba.txt\n"
            "or {train,val}/{female,male}/*.jpg         DATA=celeba-hq-domains, as StarGAN v2 has it"
        ),
        stand_in="synthetic-celeba",
        drawn="drawn pictures with CelebA's attributes",
        notes=dedent("""\
            By number (`DATA=celeba-hq`) a picture is in the split that CelebA's official partition puts it in, so that
            none is trained on here and tested on there. Choose the size with `--data.init_args.image_size=256`."""),
    ),
    "rafd": Entry(
        title="Radboud Faces Database",
        holds="8,040 photos of 681x1024 pixels: 67 people, 8 expressions, 3 gazes, 5 camera angles",
        licence="research only, under an agreement with the Radboud University; no redistribution",
        source="https://rafd.socsci.ru.nl (register with an institution's address)",
        size="1.6 GB",
        tree="Rafd090_01_Caucasian_female_angry_frontal.jpg ...",
        stand_in="synthetic-rafd",
        notes=dedent("""\
            All is read from the names. Choose angles and gazes with `--data.init_args.angles=[45,90,135]` and
            `--data.init_args.gazes=[frontal]`. Splits are by person: numbers that end in 0 are for testing, 05, 25, 45
            and 65 for validation. The square is 621 pixels from (30, 90), as in public code; for pictures that are
            cropped already choose `--data.init_args.crop=null`; `make faces PRESET=rafd` crops around found faces."""),
    ),
    "afhq": Entry(
        title="Animal Faces-HQ, version 1 or 2",
        holds="some 16,000 faces of cats, dogs and wild animals, 512x512 pixels",
        licence="CC BY-NC 4.0 (NAVER Corp.)",
        source="https://github.com/clovaai/stargan-v2 (version 2: afhq-v2-dataset)",
        size="some 0.7 GB (version 1), 6.5 GB (version 2)",
        tree="train/{cat,dog,wild}/*\nval/{cat,dog,wild}/*      test/ in version 2",
        stand_in="synthetic-afhq",
        download="git clone https://github.com/clovaai/stargan-v2 && (cd stargan-v2 && bash download.sh afhq-dataset)",
        notes="Its makers publish no checksum; look at what you have with `make inspect DATA=afhq`.",
    ),
    "emotionet": Entry(
        title="EmotioNet, or any faces with OpenFace's action units",
        holds="some 950,000 addresses of photos with action units; GANimation trained on 200,000 of them",
        licence="research only, on request; the photos belong to their owners",
        source="http://cbcsl.ece.ohio-state.edu/EmotionNetChallenge",
        size="depends on what can still be fetched",
        tree=(
            "imgs/N_0000000356_00190.jpg ...            faces, cropped\n"
            "aus_openface.pkl                           GANimation's: name to 17 intensities\n"
            "  or *.csv, openface/*.csv                 OpenFace's, one for all images or one for each\n"
            "  or dataFile_0001.txt ..., *.csv          EmotioNet's own lists: address, then 60 columns\n"
            "train_ids.csv, test_ids.csv                optional: file names, one a line"
        ),
        stand_in="synthetic-emotionet",
        notes=dedent("""\
            The lists give addresses, not pictures. Fetching these is a downloader's work (many addresses are dead);
            `make faces PRESET=ganimation` crops the faces then:

                cut -f1 dataFile_*.txt | sort -u > urls.txt
                tail -n +2 experts.csv | cut -d, -f1 | tr -d "'\\" \\r" | sort -u > urls.txt
                aria2c --input-file=urls.txt --dir=imgs --auto-file-renaming=false --continue

            Values: OpenFace's intensities from 0 to 5 become 0 to 1; the lists have 0, 1, and 999 where nobody looked.
            A picture is used only if all chosen units are known; what is left out is counted, never filled in. Choose
            units with `--data.init_args.units=[AU1,AU12]`, and where there are several sources one of them with
            `--data.init_args.units_from=aus_openface.pkl`. For models of 0 or 1 (StarGAN, LOMIT):
            `--data.init_args.presence=0.2`. A pickle is read without running anything in it."""),
    ),
    "unpaired": Entry(
        title="CycleGAN's unpaired folders: horse2zebra, apple2orange, summer2winter_yosemite, monet2photo, maps ...",
        holds="two domains of photos or paintings, 256x256 pixels; horse2zebra has 1,067 and 1,334 to train on",
        licence="the photos' own: ImageNet and Flickr, non-commercial research",
        source="https://efrosgans.eecs.berkeley.edu/cyclegan/datasets",
        size="110 MB (horse2zebra)",
        tree="trainA/*.jpg    trainB/*.jpg\ntestA/*.jpg     testB/*.jpg",
        stand_in="shapes",
        drawn="drawn pictures of two kinds",
        download="curl -LO https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/NAME.zip && unzip NAME.zip -d data",
        notes=dedent("""\
            No checksum is published. NAME is `horse2zebra`, `maps` and so on. There are recipes `DATA=horse2zebra` and
            `DATA=maps`; for another set give its folder, as in `DATA=horse2zebra DATA_DIR=data/apple2orange`. Of `maps`
            every file of A has its match in B, and `DATA=maps` measures against it."""),
    ),
    "digits": Entry(
        title="MNIST, USPS and MNIST-M",
        holds="60,000 + 10,000 digits of 28x28 (MNIST), 7,291 + 2,007 of 16x16 (USPS), MNIST over photos (MNIST-M)",
        licence="MNIST: CC BY-SA 3.0; USPS: none stated; MNIST-M: that of MNIST and of the photos",
        source="https://ossci-datasets.s3.amazonaws.com/mnist, "
        "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets, MNIST-M is built here",
        size="11 MB packed (MNIST), 8 MB (USPS)",
        tree=(
            "MNIST/raw/train-images-idx3-ubyte ...      as torchvision has it\n"
            "usps/usps.bz2, usps/usps.t.bz2             libsvm's; or usps/usps_16x16_uint8.npz\n"
            "mnist-m/mnistm_train.npz, mnistm_test.npz  images, labels"
        ),
        stand_in="shapes",
        drawn="drawn pictures of two kinds",
        download="make data DATA=mnist-usps",
        checksums=(
            ("train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            ("train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
            ("t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
            ("t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
            ("usps.bz2", "ec16c51db3855ca6c91edd34d0e9b197"),
            ("usps.t.bz2", "8ea070ee2aca1ac39742fdd1ef5ed118"),
        ),
        notes=dedent("""\
            Recipes: `DATA=mnist-usps`, `DATA=mnist-usps-aligned` and `DATA=mnist-mnistm`. A batch carries the digits,
            too (`digit`). USPS's digits were brought upright before they were published, and their ink's box is in the
            middle; MNIST's are as they were written, their centre of mass in the middle. `mnist-usps-aligned` prepares
            MNIST's as USPS's were (`aligned`): that alone lets a classifier that learnt from MNIST be right about USPS
            far more often, so that numbers with and without it are no comparison. MNIST-M is built from MNIST and a
            folder of colour photos with `train/` and `test/`, such as BSDS500's images, by the published recipe:
            `make mnist-m PHOTOS=BSDS500/data/images DATA_DIR=data/digits`. Its authors' own file is
            not read, and numbers on a set made of other photos are not theirs. MNIST and MNIST-M share digits: a
            validation digit of one may be a training digit of the other."""),
    ),
}


def missing(key: str, root: Path, reason: str) -> MissingDataset:
    """The error for a dataset that is not there, or not laid out as it should be."""
    return MissingDataset(f"{reason}{CATALOGUE[key].short(key, root)}")


def pages() -> str:
    """``docs/datasets.md``."""
    begin = dedent("""\
        # Datasets

        Made from `src/datamodules/catalogue.py` by `make pages`; change it there.

        Nothing is downloaded without being asked for. `make data DATA=…` gets what may be downloaded, with checksums,
        and says plainly what must be asked for. Put a dataset where its recipe looks for it (`data/<name>`), or say
        where it is: `make train DATA=celeba DATA_DIR=/where/it/is`. Then let the doctor look at it:

            make inspect DATA=celeba

        Every picture is cropped to a square and scaled with an antialiased bicubic filter, whatever a paper's code took
        (StarGAN's: bilinear).

        Most of these show people. Keep to the licences, and do not publish the pictures.
        """)
    return "\n\n".join([begin.rstrip(), *(entry.page(key) for key, entry in CATALOGUE.items())]) + "\n"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command ``pages``: none."""


def run(options: argparse.Namespace) -> int:
    """Print the pages."""
    print(pages(), end="")
    return 0
