"""What Keras computes with, and on what."""

import importlib.metadata
import importlib.util
import os
import sys

import keras
import pytest

from tuning.cluster import joining
from tuning.errors import UserError
from tuning.process import backend

HERE = keras.backend.backend()


@pytest.fixture
def fresh(monkeypatch):
    """A process that has not imported Keras; says which packages it has."""
    monkeypatch.delitem(sys.modules, "keras")
    monkeypatch.delenv("KERAS_BACKEND", raising=False)

    def has(*packages):
        find = importlib.util.find_spec

        def found(name):
            return find(name) if name in packages or name != "tensorflow" else None

        monkeypatch.setattr(importlib.util, "find_spec", found)
        plugins = ["cuda"] if "jax for cards" in packages else []
        monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: plugins)

    monkeypatch.setenv("KERAS_BACKEND", "")  # so that it is put back
    monkeypatch.delenv("KERAS_BACKEND")
    return has


def never():
    raise AssertionError("Nobody need ask for GPUs here.")


def chosen(on_card):
    backend.choose(on_card)
    return os.environ["KERAS_BACKEND"]


def test_jax_trains_on_gpus_and_tensorflow_elsewhere(fresh):
    fresh("tensorflow", "jax for cards")
    assert chosen(lambda: True) == "jax"
    del os.environ["KERAS_BACKEND"]
    assert chosen(lambda: False) == "tensorflow"


def test_a_jax_without_what_gpus_need_would_leave_them_idle(fresh):
    fresh("tensorflow")
    assert chosen(never) == "tensorflow"


def test_without_tensorflow_it_is_jax(fresh):
    fresh()
    assert chosen(never) == "jax"


def test_the_users_word_comes_first(fresh, monkeypatch):
    fresh("tensorflow", "jax for cards")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    assert chosen(never) == "tensorflow"


def test_where_keras_is_imported_it_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "other")
    assert chosen(never) == HERE


def test_the_users_word_on_kernels_comes_first(monkeypatch):
    monkeypatch.setattr(backend.platform, "machine", lambda: "AMD64")
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    backend.prefer_quicker_kernels()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "0"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    backend.prefer_quicker_kernels()
    assert os.environ["TF_ENABLE_ONEDNN_OPTS"] == "1"
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    monkeypatch.setattr(backend.platform, "machine", lambda: "aarch64")
    backend.prefer_quicker_kernels()
    assert "TF_ENABLE_ONEDNN_OPTS" not in os.environ


def test_a_worker_follows_the_search_or_says_that_it_cannot(fresh, monkeypatch):
    backend.follow("jax")
    assert os.environ["KERAS_BACKEND"] == "jax"
    monkeypatch.setitem(sys.modules, "keras", keras)
    backend.follow(HERE)
    with pytest.raises(UserError, match=f"Keras computes with {HERE} in a worker's process"):
        backend.follow("another")


def test_hidden_cards_are_none(monkeypatch, tmp_path):
    monkeypatch.setattr(backend, "CARDS", (tmp_path,))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert backend.has_card()
    assert joining.computes_on_gpus(None)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not backend.has_card()


def test_the_searchs_process_computes_on_cpu_and_its_workers_where_they_are_put(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "")
    monkeypatch.delenv("JAX_PLATFORMS")
    backend.leave_cards_to_trials()
    assert os.environ["JAX_PLATFORMS"] == "cpu"
    assert backend.of_workers()["JAX_PLATFORMS"] == backend._platforms
