import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from datamodules import SyntheticFaces
from tiny import SMALL, Tiny
from translators import ADSPM, CycleGAN, GANimation, StarGAN, Target, Translation
from translators.animation import animate, blend, main, paste, pictures, read_photo, save_gif, strip, sweep, tensor
from translators.checkpoints import AtomicCheckpointIO

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


# -------------------------------------------------------------------------------------------------------------- pasting


def shown(photo, box, size):
    return tensor(photo.crop(box).resize((size, size), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("box", [(10, 5, 42, 37), (0, 0, 60, 50), (20, 10, 60, 50), (3, 4, 11, 29)])
def test_pixels_outside_the_box_stay_bit_identical(box):
    photo = noise(60, 50)
    before = shown(photo, box, 16)
    pasted = np.asarray(paste(photo, box, before, -before))
    inside = np.zeros((50, 60), bool)
    inside[box[1] : box[3], box[0] : box[2]] = True
    assert pasted.shape == (50, 60, 3)
    assert (pasted[~inside] == np.asarray(photo)[~inside]).all()
    assert (pasted[inside] != np.asarray(photo)[inside]).mean() > 0.3


def test_what_was_not_changed_keeps_every_detail():
    photo, box = noise(60, 50), (10, 5, 50, 45)
    before = shown(photo, box, 16)
    assert (np.asarray(paste(photo, box, before, before.clone())) == np.asarray(photo)).all()
    after = before.clone()
    after[:, :, 8:] = 1  # the right half alone
    pasted = np.asarray(paste(photo, box, before, after))
    assert (pasted[:, :22] == np.asarray(photo)[:, :22]).all()
    assert (pasted[:, 35:45] != np.asarray(photo)[:, 35:45]).any()


def test_at_the_models_own_size_the_middle_is_the_translation_itself():
    photo, box = noise(60, 50), (10, 5, 42, 37)
    before, after = shown(photo, box, 32), tensor(noise(32, 32, seed=1))
    pasted = np.asarray(paste(photo, box, before, after))[5:37, 10:42]
    assert (pasted[4:-4, 4:-4] == np.asarray(noise(32, 32, seed=1))[4:-4, 4:-4]).all()


def test_a_pasted_face_fades_in_from_the_edge_of_its_box():
    photo, box = plain((100, 100, 100), (60, 60)), (10, 10, 50, 50)
    before = shown(photo, box, 16)
    lifted = np.asarray(paste(photo, box, before, before + 100 / 127.5))[30, :, 0].astype(int) - 100
    assert (lifted[:10] == 0).all() and (lifted[50:] == 0).all()
    assert lifted[10:15].tolist() == [4, 32, 68, 96, 100]  # 100 (3 t^2 - 2 t^3) at an eighth, three eighths, ...
    assert (lifted[14:46] == 100).all()


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


# -------------------------------------------------------------------------------------------------------------- a photo


def test_a_photo_is_turned_as_the_camera_was_held(tmp_path):
    upright = noise(24, 16)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.png", exif=exif)
    assert (np.asarray(read_photo(tmp_path / "a.png")) == np.asarray(upright)).all()


def test_a_photo_becomes_rgb_on_white(tmp_path):
    Image.new("LA", (4, 4), (0, 0)).save(tmp_path / "clear.png")
    Image.new("L", (4, 4), 77).save(tmp_path / "grey.png")
    assert read_photo(tmp_path / "clear.png").getpixel((0, 0)) == WHITE
    assert read_photo(tmp_path / "grey.png").getpixel((0, 0)) == (77, 77, 77)


def refused(tmp_path, name, content, says):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=says) as caught:
        read_photo(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_file_that_is_no_photo_is_named(tmp_path):
    refused(tmp_path, "none.png", None, "no such file")
    refused(tmp_path, "empty.png", b"", "no picture that Pillow can read")
    refused(tmp_path, "text.jpg", b"<html>", "no picture that Pillow can read")
    noise(64, 64).save(tmp_path / "whole.png")
    refused(tmp_path, "cut.png", (tmp_path / "whole.png").read_bytes()[:5000], "truncated")
    Image.fromarray(np.zeros((4, 4), np.uint16)).save(tmp_path / "deep.png")
    refused(tmp_path, "deep.png", None, "save it with 8 bits")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path, "folder.png", None, "a folder, not a photo")


# ------------------------------------------------------------------------------------------------------------- the verb


def save(model, folder):
    """A run folder with a checkpoint, as training leaves it."""
    checkpoint = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    AtomicCheckpointIO().save_checkpoint(checkpoint, folder / "checkpoints" / "step-0000001.ckpt")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Run folders of untrained models, by name, and a photo."""
    root = tmp_path_factory.mktemp("runs")
    torch.manual_seed(0)
    for model in (GANimation(UNITS, **SMALL), StarGAN(UNITS, **SMALL), ADSPM(UNITS, refine_blocks=1, **SMALL)):
        save(model, root / type(model).__name__)
    noise(40, 30).save(root / "me.png")
    return root


def run(runs, model, *options):
    return main([str(runs / model), str(runs / "me.png"), *options])


def frames(folder):
    return [np.asarray(Image.open(path)) for path in sorted(folder.glob("frame-*.png"))]


def test_a_swept_unit_makes_a_strip_a_gif_and_frames(runs, tmp_path, capsys):
    assert (
        run(runs, "GANimation", "--attribute", "AU12", "--own", "0.5,0", "--frames", "3", "--out", str(tmp_path)) == 0
    )
    names = ["animation.gif", *(f"frame-{number}-of-3.png" for number in (1, 2, 3)), "strip.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == names
    printed = capsys.readouterr().out
    assert str(tmp_path / "strip.png") in printed and str(tmp_path / "animation.gif") in printed
    model = GANimation.load(str(runs / "GANimation"))
    image = shown(Image.open(runs / "me.png"), (5, 0, 35, 30), 16)  # the middle square
    labels = torch.tensor([[0.5, 0.0], [0.5, 0.5], [0.5, 1.0]])
    with torch.no_grad():
        expected = pictures(model.translate(image.expand(3, -1, -1, -1), Target(label=labels)).image)
    for frame, one in zip(frames(tmp_path), expected, strict=True):
        assert abs(frame.astype(int) - np.asarray(one)).max() <= 1
    with Image.open(tmp_path / "strip.png") as sheet:
        assert sheet.size == (4 * 128 + 3 * 2, 128 + 32)  # the photo itself, then the frames
    with Image.open(tmp_path / "animation.gif") as gif:
        assert gif.size == (128, 128)


def test_several_units_are_blended_from_the_photos_own(runs, tmp_path):
    options = ["--own", "AU4=1", "--to", "AU4=0.2,AU12=0.4", "--frames", "2", "--out", str(tmp_path)]
    assert run(runs, "GANimation", *options) == 0
    model = GANimation.load(str(runs / "GANimation"))
    image = shown(Image.open(runs / "me.png"), (5, 0, 35, 30), 16)
    ends = torch.tensor([[1.0, 0.0], [0.2, 0.4]])
    with torch.no_grad():
        expected = pictures(model.translate(image.expand(2, -1, -1, -1), Target(label=ends)).image)
    for frame, one in zip(frames(tmp_path), expected, strict=True):
        assert abs(frame.astype(int) - np.asarray(one)).max() <= 1


def test_in_a_box_every_frame_is_the_photo_around_it(runs, tmp_path):
    options = ["--attribute", "AU12", "--box", "4,2,24.4,21.6", "--frames", "3", "--out", str(tmp_path)]
    assert run(runs, "GANimation", *options) == 0
    photo, inside = np.asarray(noise(40, 30)), np.s_[2:22, 4:24]
    for frame in frames(tmp_path):
        assert frame.shape == photo.shape
        assert (frame[inside] != photo[inside]).any()
        around = frame.copy()
        around[inside] = photo[inside]
        assert (around == photo).all()


def test_of_a_model_with_a_strength_that_is_swept(runs, tmp_path):
    assert run(runs, "ADSPM", "--attribute", "AU12", "--frames", "3", "--out", str(tmp_path)) == 0
    photo = np.asarray(noise(40, 30).crop((5, 0, 35, 30)).resize((16, 16), Image.Resampling.BICUBIC))
    first, _, last = frames(tmp_path)
    assert (first == photo).all()
    assert (last != photo).any()


def test_pictures_go_into_the_run_unless_told_otherwise(runs):
    assert run(runs, "GANimation", "--attribute", "AU4", "--frames", "2") == 0
    assert (runs / "GANimation" / "animations" / "me-AU4" / "strip.png").is_file()
    checkpoint = runs / "GANimation" / "checkpoints" / "step-0000001.ckpt"
    assert main([str(checkpoint), str(runs / "me.png"), "--to", "AU4=1"]) == 0
    assert (checkpoint.parent / "animations" / "me-AU4=1" / "animation.gif").is_file()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--attribute", "AU99"], "there is no attribute 'AU99'; the known ones are AU4, AU12"),
        (["--to", "AU4=1,AU01=1"], "there is no attribute 'AU01'; the known ones are AU4, AU12"),
        (["--to", "AU4=much"], "'much' is no number"),
        (["--to", "AU4"], "give 2 numbers, for AU4, AU12; got 'AU4', which are 1"),
        (["--attribute", "AU4", "--own", "0,0,0"], "give 2 numbers, for AU4, AU12; got '0,0,0', which are 3"),
        (["--attribute", "AU4", "--own", "0,2"], "GANimation cannot make these frames: action units are intensities"),
        (["--attribute", "AU4", "--frames", "1"], "at least 2 frames"),
        (["--attribute", "AU4", "--box", "0,0,41,30"], "me.png, which has 40x30 pixels"),
        (["--attribute", "AU4", "--box", "9,0,9,30"], "the box 9,0,9,30 is no part of"),
    ],
)
def test_what_cannot_be_done_is_answered_with_a_sentence(runs, tmp_path, capsys, options, sentence):
    assert run(runs, "GANimation", *options, "--out", str(tmp_path)) == 1
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and sentence in printed
    assert not list(tmp_path.iterdir())


def test_a_model_of_0_and_1_has_nothing_in_between(runs, tmp_path, capsys):
    assert run(runs, "StarGAN", "--attribute", "AU12", "--frames", "3", "--out", str(tmp_path)) == 1
    printed = capsys.readouterr().err
    assert "error: StarGAN cannot make these frames: labels must be 0 or 1 each, got 0.5" in printed
    assert "two frames (--frames 2) need nothing in between" in printed
    assert run(runs, "StarGAN", "--attribute", "AU12", "--frames", "2", "--out", str(tmp_path)) == 0


@pytest.mark.parametrize("missing", ["run", "photo"])
def test_a_missing_run_or_photo_is_named(runs, tmp_path, capsys, missing):
    places = {"run": str(runs / "GANimation"), "photo": str(runs / "me.png")} | {missing: str(tmp_path / "nowhere")}
    assert main([places["run"], places["photo"], "--attribute", "AU4"]) == 1
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "one of the arguments --attribute --to is required"),
        (["--attribute", "AU4", "--to", "AU12=1"], "not allowed with"),
        (["--attribute", "AU4", "--box", "1,2,3"], "give left,top,right,bottom in pixels, got '1,2,3'"),
        (["--attribute", "AU4", "--box", "0,0,inf,9"], "give left,top,right,bottom in pixels, got '0,0,inf,9'"),
    ],
)
def test_options_that_make_no_sense_are_usage_errors(runs, capsys, options, sentence):
    with pytest.raises(SystemExit) as stopped:
        run(runs, "GANimation", *options)
    assert stopped.value.code == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("goal", [["--to", "zebra=1"], ["--attribute", "zebra"]])
def test_a_class_takes_the_place_of_another(goal, tmp_path):
    """Of two domains a picture is in one or the other: in the first frame a horse, in the last a zebra."""
    torch.manual_seed(0)
    made = CycleGAN(["horse", "zebra"], one_hot=True, image_size=32, generator_width=2, discriminator_width=2, blocks=1)
    save(made, tmp_path)
    noise(32, 32).save(tmp_path / "me.png")
    places = [str(tmp_path), str(tmp_path / "me.png"), "--out", str(tmp_path / "out")]
    assert main([*places, *goal, "--own", "horse=1", "--frames", "2"]) == 0
    image = tensor(noise(32, 32)).expand(2, -1, -1, -1)
    with torch.no_grad():
        expected = pictures(made.eval().translate(image, Target(label=torch.eye(2))).image)
    for frame, one in zip(frames(tmp_path / "out"), expected, strict=True):
        assert abs(frame.astype(int) - np.asarray(one)).max() <= 1
