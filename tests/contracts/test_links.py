"""What holds for every link and every emulator."""

from dataclasses import replace

import pytest
from qdeploy import boards, deploy
from qdeploy.deploy._members import emulator, known_emulators, known_links
from qdeploy.diagnostics import ExitCode, InputError, MissingToolError
from support import devices


@pytest.mark.parametrize("name", devices.ALL)
def test_one_link_reaches_a_board(name):
    board = boards.load(name)
    assert sum(link.reaches(board) for link in known_links().values()) == 1


def test_every_emulator_tells_whether_it_is_there():
    rows = {row.name: row for row in deploy.status()}
    assert set(rows) == set(known_emulators()) == {"qemu", "unicorn"}
    assert rows["unicorn"].fix == "pip install '.[run]' in the checkout of qdeploy"
    assert "apt install qemu-system-arm" in rows["qemu"].fix


@pytest.mark.parametrize("board", ["virtual-m4", "mps2-an386"])
def test_a_missing_emulator_says_what_to_install(board, monkeypatch):
    loaded = boards.load(board)
    tool = emulator(loaded)
    image = devices.image(3, board)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(MissingToolError) as caught:
        deploy.run(image, loaded, devices.vectors(devices.program(3), 4))
    assert caught.value.fix == tool.missing().fix
    assert "is not installed" in str(caught.value)
    assert caught.value.exit_code is ExitCode.MISSING


def test_an_emulator_that_does_not_exist_is_named(tmp_path):
    home = tmp_path / "my-board"
    home.mkdir()
    (home / "board.toml").write_text(
        'title = "x"\ncpu = "host"\nverified = "build"\nhow = "x"\n[emulator]\ntool = "simics"\n'
    )
    with pytest.raises(InputError, match="wants the emulator 'simics'") as caught:
        emulator(boards.load(str(home)))
    assert "qemu, unicorn" in caught.value.fix


@pytest.mark.parametrize("name", ["virtual-m4", "mps2-an386"])
def test_an_emulator_that_cannot_start_says_why(name):
    """A machine or a core it does not know."""
    board = boards.load(name)
    devices.need_emulator(board)
    wrong = replace(
        board,
        emulator=replace(board.emulator, machine="toaster"),
        hardware=replace(board.hardware, cpu="cortex-m99"),
    )
    with pytest.raises(
        MissingToolError, match=r"did not start: .*(unsupported machine|knows no cortex-m99)"
    ):
        deploy.run(devices.image(3, name), wrong, devices.vectors(devices.program(3), 4))
