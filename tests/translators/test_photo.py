import numpy as np
import pytest
import torch
from PIL import Image

from tiny import SMALL, small
from translators import ADSPM, LOMIT, BridgeGAN, CycleGAN, GANimation, StarGAN, Target
from translators.animation import animate, pictures
from translators.checkpoints import AtomicCheckpointIO
from translators.photo import main, paste, read_photo, tensor

UNITS = ["AU4", "AU12"]
WHITE = (255, 255, 255)


def plain(colour, size=(16, 16)):
    return Image.new("RGB", size, colour)


def noise(width, height, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


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
    for kind in (BridgeGAN, LOMIT):
        save(small(kind, attributes=UNITS), root / kind.__name__)
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


def test_a_model_that_wants_noise_is_given_the_same_in_every_frame(runs, tmp_path):
    assert run(runs, "BridgeGAN", "--attribute", "AU12", "--frames", "3", "--out", str(tmp_path)) == 0
    first, _, last = frames(tmp_path)
    assert (first != last).any()
    assert run(runs, "BridgeGAN", "--attribute", "AU12", "--frames", "3", "--out", str(tmp_path / "again")) == 0
    assert all((one == other).all() for one, other in zip(frames(tmp_path), frames(tmp_path / "again"), strict=True))


def test_a_model_that_wants_an_exemplar_says_so(runs, tmp_path, capsys):
    assert run(runs, "LOMIT", "--attribute", "AU12", "--out", str(tmp_path)) == 1
    assert "LOMIT cannot make these frames: LOMIT needs an exemplar for each image" in capsys.readouterr().err


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
        (["--to", "AU12=1,AU4"], "'AU4' has no value"),
        (["--to", "AU12=2"], "action units are intensities from 0 to 1 (OpenFace's 0 to 5, divided by 5), got 2"),
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
    assert printed.startswith("error: ") and sentence in printed and "--frames 2" not in printed
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


def test_a_sequence_of_goals_is_gone_through_in_turn(runs, tmp_path):
    """From rest to a smile, on to a frown: the second way begins where the first ends."""
    ways = ["--to", "AU12=1", "--to", "AU12=0.5,AU4=1"]
    assert run(runs, "GANimation", *ways, "--frames", "3", "--out", str(tmp_path)) == 0
    labels = torch.tensor([[0, 0], [0, 0.5], [0, 1], [0.5, 0.75], [1, 0.5]])
    image = shown(Image.open(runs / "me.png"), (5, 0, 35, 30), 16)
    expected = pictures(animate(GANimation.load(str(runs / "GANimation")), image, labels))
    for frame, one in zip(frames(tmp_path), expected, strict=True):
        assert abs(frame.astype(int) - np.asarray(one)).max() <= 1


def test_a_strength_has_no_goals_in_turn_and_a_class_needs_a_beginning(runs, tmp_path, capsys):
    assert run(runs, "ADSPM", "--to", "AU4=1", "--to", "AU12=1", "--out", str(tmp_path)) == 1
    assert "only the strength grows: give one --to" in capsys.readouterr().err
    made = CycleGAN(["horse", "zebra"], one_hot=True, image_size=32, generator_width=2, discriminator_width=2, blocks=1)
    save(made, tmp_path / "run")
    assert main([str(tmp_path / "run"), str(runs / "me.png"), "--attribute", "zebra"]) == 1
    assert "say which of the classes horse, zebra the photo is of, such as --own=horse=1" in capsys.readouterr().err


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
