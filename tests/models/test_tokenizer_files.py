"""The tokenizer of the default model, built from GGUF metadata, and what directories give."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gguf
import pytest
import transformers

from sarathid.errors import ModelRefused
from sarathid.models.gguf import GGUFFile
from sarathid.models.model_files import resolve
from sarathid.models.tokenizer_files import build_gguf_tokenizer, read_chat_template, read_tokenizer

TRICKY = [
    "",
    " ",
    "Hello, world!",
    "12345 and 3.14159, 007",
    "year2024x10",
    "½ ² ٣ 四",
    "  two  spaces\tand\ttabs\n\n\nlines  ",
    "naïve café — “quotes”",
    "日本語のテキスト",
    "👩‍👩‍👧‍👦 family \u200d joiner \U0001f600",
    "<|im_start|>user\nhi<|im_end|>\n",
    "not <|im_start special|>",
    "don't can't I'll we've",
    "\x00\x07 control",
    "e\u0301 combining",
    "def f(x):\n    return x**2  # 0x1F",
]


@pytest.mark.parametrize("text", TRICKY)
def test_tokens_are_those_of_transformers_and_text_comes_back(
    text: str, exported_smollm2: Path, smollm2_path: Path
) -> None:
    ours = resolve(str(smollm2_path)).tokenizer
    theirs = transformers.AutoTokenizer.from_pretrained(exported_smollm2)
    token_ids = ours.encode(text).ids
    assert token_ids == theirs(text)["input_ids"]
    assert ours.decode(token_ids, skip_special_tokens=False) == text


def test_every_digit_is_a_token_of_its_own(smollm2_path: Path) -> None:
    tokens = resolve(str(smollm2_path)).tokenizer.encode("in 1984, 42").tokens
    assert tokens == ["in", "Ġ", "1", "9", "8", "4", ",", "Ġ", "4", "2"]


def test_special_tokens_are_one_token_and_left_out_of_text(smollm2_path: Path) -> None:
    files = resolve(str(smollm2_path))
    assert files.tokenizer.encode("<|im_end|>").ids == [2]
    assert files.config.eos_token_ids == {2}
    assert files.tokenizer.decode([2, 1]) == ""


def test_chat_template_comes_from_the_metadata(smollm2_path: Path) -> None:
    template = resolve(str(smollm2_path)).chat_template
    assert template is not None and "<|im_start|>" in template


def test_templates_of_directories(tmp_path: Path) -> None:
    assert read_chat_template(tmp_path) is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps({"chat_template": "plain"}), encoding="utf-8")
    assert read_chat_template(tmp_path) == "plain"
    named = [{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "usual"}]
    config.write_text(json.dumps({"chat_template": named}), encoding="utf-8")
    assert read_chat_template(tmp_path) == "usual"
    (tmp_path / "chat_template.jinja").write_text("separate", encoding="utf-8")
    assert read_chat_template(tmp_path) == "separate"


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"chat_template": 5}', '{"chat_template": [{"name": "default"}]}', "[" * 100_000, '"\ud800"']
)
def test_a_broken_tokenizer_config_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "tokenizer_config.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ModelRefused, match=r"tokenizer_config\.json"):
        read_chat_template(tmp_path)


def test_a_directory_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelRefused, match=r"tokenizer\.json is missing"):
        read_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}", encoding="utf-8")
    with pytest.raises(ModelRefused, match="is not a tokenizer"):
        read_tokenizer(tmp_path)


def write_tokenizer(path: Path, kind: str = "gpt2", split: str = "gpt-2", merge: str | None = "a b") -> GGUFFile:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model(kind)
    writer.add_tokenizer_pre(split)
    writer.add_token_list(["a", "b", "ab"])
    if merge is not None:
        writer.add_token_merges([merge])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return GGUFFile(path)


def test_plain_byte_level_bpe_is_built(tmp_path: Path) -> None:
    assert build_gguf_tokenizer(write_tokenizer(tmp_path / "model.gguf")).encode("abba").ids == [2, 1, 0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "llama"}, "kind 'llama' is not served"),
        ({"split": "novel"}, "'novel' is not known"),
        ({"merge": None}, r"no tokenizer\.ggml\.merges"),
        ({"merge": "a z"}, "do not fit together"),
    ],
)
def test_tokenizers_that_we_can_not_build_are_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelRefused, match=words):
        build_gguf_tokenizer(write_tokenizer(tmp_path / "model.gguf", **changes))


def test_tokenizer_and_configuration_load_no_torch(smollm2_path: Path) -> None:
    code = (
        "import sys; from sarathid.models.model_files import resolve; files = resolve(sys.argv[1]);"
        "files.tokenizer, files.config, files.chat_template; sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(smollm2_path)], check=False).returncode == 0
