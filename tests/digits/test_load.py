"""Where digits come from: the order of the sources, and what happens when one of them is bad."""

import hashlib
import http.server
import os
import pickle
import threading

import numpy as np
import pytest

from qkit.digits import Digits, download_mnist, load, load_digits, read_digits
from tests.rights import nobody_may_enter


@pytest.fixture(autouse=True)
def drawn(monkeypatch):
    """Draw black images, and list how many were asked for."""
    asked = []

    def draw(count, split):
        asked.append((count, split))
        return np.full((20 + split, 28, 28), 255, np.uint8), np.arange(20 + split, dtype=np.uint8) % 10

    monkeypatch.setattr(load, "draw_digits", draw)
    return asked


def save(path, arrays):
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays)
    return path


def test_named_file_comes_first(tmp_path, data_home, mnist_like, monkeypatch):
    save(data_home / "mnist.npz", mnist_like | {"y_train": np.zeros(60, np.uint8)})
    monkeypatch.setenv("QKIT_MNIST", str(save(tmp_path / "mine.npz", mnist_like)))
    digits = load_digits()
    assert digits.source == "the file named by QKIT_MNIST"
    np.testing.assert_array_equal(digits.y_train, mnist_like["y_train"])


def test_data_folder_comes_before_the_cache_of_keras(tmp_path, data_home, mnist_like):
    save(tmp_path / "keras" / "datasets" / "mnist.npz", mnist_like)
    assert load_digits().source == "Keras's cache"
    save(data_home / "mnist.npz", mnist_like)
    assert load_digits().source == "data/mnist.npz"


def test_only_mnist_is_called_mnist(data_home, mnist_like, monkeypatch):
    save(data_home / "mnist.npz", mnist_like)
    assert load_digits().name == "your digits"
    parts = hashlib.sha256(b"".join(mnist_like[name].tobytes() for name in ("x_test", "y_test", "y_train")))
    monkeypatch.setattr(load, "MNIST_SHA256_OF_PARTS", parts.hexdigest())
    assert load_digits().name == "MNIST"


def test_without_network_the_stand_in_is_drawn_once_and_named(drawn, data_home):
    for _ in range(2):
        digits = load_digits()
        assert (digits.name, digits.x_train.shape, digits.x_test.shape) == (
            "stand-in digits",
            (20, 28, 28),
            (21, 28, 28),
        )
        assert repr(digits).startswith("stand-in digits (drawn by qkit: no MNIST in the data folder")
    assert drawn == [(20_000, 0), (10_000, 1)]
    (path,) = data_home.glob("standin-*.npz")
    np.savez(path, **dict(np.load(path)) | {"more": np.zeros(3)})
    assert load_digits().fingerprint == digits.fingerprint


def test_a_failed_download_is_said_loudly(monkeypatch):
    monkeypatch.delenv("QKIT_OFFLINE")

    def no_network(folder):
        raise OSError("no route to host")

    monkeypatch.setattr(load, "download_mnist", no_network)
    with pytest.warns(UserWarning, match="STAND-IN digits"):
        assert load_digits().name == "stand-in digits"


def test_offline_never_downloads(monkeypatch):
    monkeypatch.setattr(load, "download_mnist", lambda folder: pytest.fail("the network was used"))
    assert load_digits().name == "stand-in digits"


def test_stand_in_by_name(data_home, mnist_like, monkeypatch):
    save(data_home / "mnist.npz", mnist_like)
    monkeypatch.setenv("QKIT_MNIST", "stand-in")
    assert load_digits().name == "stand-in digits"


def test_a_named_file_that_cannot_be_had_is_an_error(monkeypatch, tmp_path):
    for named, message in (
        ("/no/such/mnist.npz", r"mnist\.npz does not exist\. Name an mnist\.npz"),
        ("~nosuchuser/mnist.npz", r"mnist\.npz does not exist\. Name an mnist\.npz"),
        (f"/{'x' * 300}.npz", r"xxx\.npz cannot be read \(.*File name too long"),
        (str(tmp_path), "cannot be read"),
    ):
        monkeypatch.setenv("QKIT_MNIST", named)
        with pytest.raises(ValueError, match=message if os.name == "posix" else None):
            load_digits()


@pytest.mark.skipif(os.name == "nt", reason="Windows has other rights")
def test_folders_that_may_not_be_entered(monkeypatch, tmp_path, data_home, mnist_like):
    cache = save(tmp_path / "keras" / "datasets" / "mnist.npz", mnist_like).parent
    with nobody_may_enter(cache), pytest.warns(UserWarning, match=r"mnist\.npz cannot be read .*Permission denied"):
        assert load_digits().name == "stand-in digits"
    data_home.mkdir(exist_ok=True)
    with nobody_may_enter(data_home), pytest.warns(UserWarning, match="the stand-in digits cannot be kept in .*data"):
        load_digits()
    monkeypatch.setenv("QKIT_MNIST", str(cache / "mnist.npz"))
    with nobody_may_enter(cache), pytest.raises(ValueError, match=r"mnist\.npz cannot be read .*Permission denied"):
        load_digits()


def test_a_file_that_is_no_npz_is_skipped_with_a_warning(data_home, mnist_like):
    path = save(data_home / "mnist.npz", mnist_like)
    whole = path.read_bytes()
    np.save(data_home / "one.npy", mnist_like["x_test"])
    for content in (whole[:-500], b"<!DOCTYPE html>", (data_home / "one.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.warns(UserWarning, match=r"mnist\.npz cannot be read .* Looking elsewhere"):
            assert load_digits().name == "stand-in digits"


def test_a_flipped_bit_is_noticed(tmp_path, mnist_like):
    path = save(tmp_path / "mnist.npz", mnist_like)
    data = bytearray(path.read_bytes())
    data[20_000] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match="cannot be read"):
        read_digits(path, "a test")


def test_labels_of_another_type_become_uint8(tmp_path, mnist_like):
    path = save(tmp_path / "mnist.npz", mnist_like | {"y_test": mnist_like["y_test"].astype(np.int64)})
    assert read_digits(path, "a test").y_test.dtype == np.uint8


def test_relative_paths_start_at_the_checkout(monkeypatch, mnist_like, tmp_path):
    monkeypatch.setattr(load, "checkout", lambda: tmp_path)
    save(tmp_path / "here.npz", mnist_like)
    monkeypatch.setenv("QKIT_MNIST", "here.npz")
    assert load_digits().source == "the file named by QKIT_MNIST"


def test_pickles_are_refused(tmp_path, mnist_like):
    path = save(tmp_path / "evil.npz", mnist_like | {"x_test": np.array([{"a": 1}], dtype=object)})
    with pytest.raises(ValueError, match="cannot be read"):
        read_digits(path, "a test")


def test_other_arrays_are_not_digits(tmp_path, mnist_like):
    no_images = {"x_train": np.zeros((0, 28, 28), np.uint8), "y_train": np.zeros(0, np.uint8)}
    for change, message in (
        ({"x_train": np.zeros((60, 28, 27), np.uint8)}, "x_train must be uint8 images of shape"),
        ({"x_train": np.uint8(3)}, "x_train must be uint8 images of shape"),
        ({"x_test": np.zeros((10, 28, 28), np.float32)}, "x_test must be uint8 images .* got float32"),
        (no_images, "x_train must be"),
        ({"y_train": np.zeros(59, np.uint8)}, "y_train must hold one integer"),
        ({"y_test": np.full(10, 10, np.uint8)}, "y_test must hold one integer from 0 to 9"),
        ({"y_test": np.full(10, -1)}, "y_test must hold one integer from 0 to 9"),
        ({"y_test": np.zeros(10)}, "y_test must hold one integer"),
    ):
        path = save(tmp_path / "other.npz", mnist_like | change)
        with pytest.raises(ValueError, match=message):
            read_digits(path, "a test")
    del mnist_like["y_test"]
    with pytest.raises(ValueError, match="no array named 'y_test'"):
        read_digits(save(tmp_path / "part.npz", mnist_like), "a test")


def test_training_images_are_read_when_they_are_asked_for(tmp_path, mnist_like):
    path = save(tmp_path / "a.npz", mnist_like)
    digits = read_digits(path, "a test")
    save(path, mnist_like | {"x_train": 255 - mnist_like["x_train"]})
    np.testing.assert_array_equal(digits.x_train, 255 - mnist_like["x_train"])
    path.unlink()
    np.testing.assert_array_equal(digits.x_train, 255 - mnist_like["x_train"])
    kept_in_memory = Digits(*mnist_like.values(), name="your digits", source="a test")
    assert kept_in_memory.x_train is mnist_like["x_train"]
    assert kept_in_memory.fingerprint == digits.fingerprint


def test_fingerprint_sees_one_label(tmp_path, mnist_like):
    first = read_digits(save(tmp_path / "a.npz", mnist_like), "a test").fingerprint
    mnist_like["y_test"][3] = (mnist_like["y_test"][3] + 1) % 10
    assert first != read_digits(save(tmp_path / "a.npz", mnist_like), "a test").fingerprint


@pytest.fixture
def server(tmp_path, mnist_like, monkeypatch):
    """A web server that serves, in turn, the answers put into its ``answers``: (bytes, announced length)."""
    monkeypatch.setattr("pooch.core.time.sleep", lambda seconds: None)
    payload = save(tmp_path / "served.npz", mnist_like).read_bytes()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body, length = self.server.answers[min(self.server.asked, len(self.server.answers) - 1)]
            self.server.asked += 1
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as httpd:
        httpd.payload, httpd.asked, httpd.answers = payload, 0, [(payload, len(payload))]
        httpd.url = f"http://127.0.0.1:{httpd.server_port}/mnist.npz"
        httpd.sha256 = hashlib.sha256(payload).hexdigest()
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield httpd
        httpd.shutdown()


def left_behind(folder):
    return sorted(path.name for path in folder.glob("*") if path.is_file())


def test_download(server, data_home):
    path = download_mnist(data_home, server.url, server.sha256)
    assert path.read_bytes() == server.payload
    assert path.stat().st_mode & 0o444 == 0o444, "learners can read what a teacher shares"
    assert left_behind(data_home) == ["mnist.npz", "mnist.npz.lock"]


def test_a_disk_without_rights_is_no_failed_download(server, data_home, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(load.Path, "chmod", refuse)
    assert download_mnist(data_home, server.url, server.sha256).read_bytes() == server.payload


def test_a_truncated_download_is_tried_again(server, data_home):
    half = server.payload[: len(server.payload) // 2]
    server.answers = [(half, len(server.payload)), (server.payload, len(server.payload))]
    assert download_mnist(data_home, server.url, server.sha256).read_bytes() == server.payload
    assert server.asked == 2


def test_a_wrong_download_leaves_nothing(server, data_home):
    wrong = server.payload[:-1] + b"?"
    server.answers = [(wrong, len(wrong))]
    with pytest.raises(ValueError, match="hash"):
        download_mnist(data_home, server.url, server.sha256)
    assert server.asked == 3
    assert left_behind(data_home) == ["mnist.npz.lock"]


def test_no_server_leaves_nothing(server, data_home):
    server.shutdown()
    server.server_close()
    with pytest.raises(OSError):
        download_mnist(data_home, server.url, server.sha256)
    assert left_behind(data_home) == ["mnist.npz.lock"]


def test_training_images_in_a_file_do_not_travel(tmp_path, mnist_like):
    np.savez(tmp_path / "digits.npz", **mnist_like)
    digits = read_digits(tmp_path / "digits.npz", "a test")
    assert len(digits.x_train) == 60
    sent = pickle.dumps(digits)
    assert len(sent) < 60 * 28 * 28
    assert np.array_equal(pickle.loads(sent).x_train, mnist_like["x_train"])
    with pytest.raises(AttributeError):  # else it would be lost on the way to another process
        digits.x_train = digits.x_train[:5]
    save(tmp_path / "digits.npz", {"other": np.zeros(3)})
    with pytest.raises(ValueError, match=r"These are not digits: there is no array named 'x_train'"):
        pickle.loads(sent).x_train  # noqa: B018
