import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from datamodules import SyntheticFaces
from tiny import SMALL, Tiny
from translators import ADSPM, Target, Translation
from translators.animation import animate, blend, pictures, save_gif, strip, sweep
from translators.photo import tensor

UNITS = ["AU4", "AU12"]
BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def plain(colour, size=(16, 16)):
    return Image.new("RGB", size, colour)


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


# --------------------------------------------------------------------------------------------------------------- labels


def test_a_blend_starts_at_the_pictures_own_label_and_ends_at_the_target():
    own, target = torch.tensor([0.1, 0.7, 1.0]), torch.tensor([0.9, 0.3, 1.0])
    labels = blend(own, target, 5)
    assert torch.equal(labels[0], own)
    assert torch.equal(labels[-1], target)
    assert labels.tolist() == [
        pytest.approx(row) for row in ([0.1, 0.7, 1], [0.3, 0.6, 1], [0.5, 0.5, 1], [0.7, 0.4, 1], [0.9, 0.3, 1])
    ]


@pytest.mark.parametrize("frames", [2, 3, 7, 10, 33])
def test_a_blend_has_as_many_labels_as_asked_for_and_exact_ends(frames):
    own, target = torch.rand(2, 17, generator=torch.Generator().manual_seed(frames))
    labels = blend(own, target, frames)
    assert labels.shape == (frames, 17)
    assert torch.equal(labels[0], own) and torch.equal(labels[-1], target)


def test_a_sweep_of_four_is_the_papers():
    """0, .33, .66 and 1 (fig. 4), the other units as they are."""
    own = torch.tensor([0.2, 0.9, 0.4])
    labels = sweep(own, 1, 4)
    assert labels[:, 1].tolist() == pytest.approx([0, 1 / 3, 2 / 3, 1])
    assert (labels[:, [0, 2]] == own[[0, 2]]).all()
    assert own.tolist() == pytest.approx([0.2, 0.9, 0.4])


@pytest.mark.parametrize("frames", [1, 0, -1])
def test_one_frame_is_no_animation(frames):
    with pytest.raises(ValueError, match=f"at least 2 frames, .* got {frames}"):
        blend(torch.zeros(2), torch.ones(2), frames)
    with pytest.raises(ValueError, match=f"at least 2 frames, .* got {frames}"):
        sweep(torch.zeros(2), 0, frames)


def test_labels_of_other_models_are_not_blended():
    with pytest.raises(ValueError, match=r"two labels \(K,\) are blended, got \(2,\) and \(3,\)"):
        blend(torch.zeros(2), torch.ones(3), 4)


# --------------------------------------------------------------------------------------------------------------- frames


class Draws(Tiny):
    """Knows the person of row 0 of some drawn faces, and draws them as the label says."""

    def __init__(self, data):
        super().__init__(attributes=list(data.attributes))
        self.data, self.batches = data, []

    def translate(self, image, target):
        assert not self.generator.training and not torch.is_grad_enabled()
        self.batches.append(len(image))
        index = torch.zeros(len(image), dtype=torch.long)
        return Translation(image=self.data.counterfactual("val", index, target.label)[0])


@pytest.fixture(scope="module")
def faces():
    return SyntheticFaces(UNITS, image_size=16, train_size=1, val_size=1, test_size=1, cache=False)


def test_every_frame_is_the_translation_by_its_own_label(faces):
    records = faces.records("val")
    model, image = Draws(faces), tensor(Image.fromarray(records.read(0)))
    labels = blend(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 0.0]), 20)
    frames = animate(model, image, labels)
    truth = np.stack([records.draw(0, label.tolist()) for label in labels])
    assert frames.shape == (20, 3, 16, 16)
    assert (np.stack([np.asarray(one) for one in pictures(frames)]) == truth).all()
    assert (truth[1:] != truth[:-1]).any(axis=(1, 2, 3)).sum() > 10
    assert model.batches == [8, 8, 4]
    assert model.generator.training


def test_frames_are_those_of_the_averaged_generator():
    image, labels = torch.rand(3, 16, 16) * 2 - 1, sweep(torch.zeros(2), 0, 3)
    model = Tiny(ema_decay=0.5)
    with torch.no_grad():
        expected = model.translate(image.expand(3, -1, -1, -1), Target(label=labels)).image
    model.average.update(model.generator)
    for parameter in model.generator.parameters():
        torch.nn.init.zeros_(parameter)
    assert torch.equal(animate(model, image, labels), expected)
    assert not any(parameter.any() for parameter in model.generator.parameters())


def test_a_strength_is_swept_where_labels_are_0_or_1():
    torch.manual_seed(0)
    settings = {**SMALL, "refine_blocks": 1, "max_motion": 0.2}
    model, image = ADSPM(UNITS, **settings), torch.rand(3, 16, 16) * 2 - 1
    label, strengths = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.5, 1.0])
    frames = animate(model, image, label.expand(3, -1), strengths)
    torch.testing.assert_close(frames[0], image, atol=1e-6, rtol=0)
    with torch.no_grad():
        whole = model.translate(image[None], Target(label=label[None])).image[0]
    torch.testing.assert_close(frames[2], whole)
    moved = [(frame - image).abs().mean() for frame in frames]
    assert moved[0] < moved[1] < moved[2]


def test_pictures_and_tensors_are_the_same_to_the_bit():
    every_value = np.arange(256, dtype=np.uint8).repeat(3).reshape(16, 16, 3)
    (back,) = pictures(tensor(Image.fromarray(every_value))[None])
    assert (np.asarray(back) == every_value).all()
    assert tensor(plain(WHITE)).max() == 1 and tensor(plain(BLACK)).min() == -1


# ------------------------------------------------------------------------------------------------------ what is written


def test_a_strip_shows_the_frames_from_left_to_right_below_their_captions():
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    sheet = np.asarray(strip([plain(colour, (32, 16)) for colour in colours], ["a", "a long caption", ""], tile=64))
    assert sheet.shape == (64 + 16, 3 * 128 + 2 * 2, 3)
    for number, colour in enumerate(colours):
        left = number * 130
        assert (sheet[16:, left : left + 128] == colour).all()
        written = (sheet[:16, left : left + 128] < 128).any()
        assert written == (number < 2)


def test_a_caption_that_is_too_long_for_its_tile_is_written_smaller():
    sheet = np.asarray(strip([plain(WHITE), plain(WHITE)], ["Mouth_Slightly_Open 0.12", ""], tile=100))
    assert (sheet[:25, :100] < 128).any()
    assert (sheet[:25, 102:] == 255).all()


def test_a_gif_goes_to_and_fro(tmp_path):
    greys = [0, 80, 160, 240]
    save_gif([plain((grey,) * 3) for grey in greys], tmp_path / "new" / "a.gif", seconds_a_frame=0.2)
    with Image.open(tmp_path / "new" / "a.gif") as gif:
        frames = [
            (frame.convert("RGB").getpixel((8, 8))[0], frame.info["duration"]) for frame in ImageSequence.Iterator(gif)
        ]
        assert gif.info["loop"] == 0  # for ever
    assert frames == [(grey, 200) for grey in [0, 80, 160, 240, 160, 80]]


def test_what_cannot_be_written_whole_is_not_written_at_all(tmp_path):
    path, torn = tmp_path / "a.gif", tmp_path / "torn.png"
    save_gif([plain(BLACK), plain(WHITE)], path)
    former = path.read_bytes()
    noise(64, 64).save(torn)
    torn.write_bytes(torn.read_bytes()[:3000])
    with pytest.raises(OSError, match="truncated"):
        save_gif([plain(WHITE, (64, 64)), Image.open(torn)], path)
    assert path.read_bytes() == former
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.gif", "torn.png"]
