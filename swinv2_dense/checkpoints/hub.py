"""Upload a folder to the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, ConfigError

REPO = re.compile(r'[\w.-]+/[\w.-]+')


def hub_client(repo: str) -> Any:
    """A `huggingface_hub.HfApi`, with the name of the repository checked.

    Raises:
        ConfigError: huggingface_hub is not installed, or `repo` is not OWNER/NAME.
    """
    if not REPO.fullmatch(repo):
        raise ConfigError(f'--repo={repo!r} must be OWNER/NAME')
    try:
        from huggingface_hub import HfApi
    except ImportError:
        raise ConfigError('--repo needs huggingface_hub: pip install huggingface_hub') from None
    return HfApi(library_name='swinv2_dense')


def upload(client: Any, folder: Path, repo: str, private: bool = False) -> str:
    """Create the repository, unless it exists, and commit all files of a folder to it.

    Returns:
        The address of the repository.

    Raises:
        CheckpointError: The hub refuses it or cannot be reached.
    """
    try:
        address = client.create_repo(repo, private=private, exist_ok=True)
        client.upload_folder(
            repo_id=repo, folder_path=folder, commit_message='Upload model, config and card'
        )
    except Exception as error:  # HTTP, a missing token, an invalid name, ...
        reason = ' '.join(str(error).split())[:300]
        raise CheckpointError(
            f'{folder} could not be uploaded to {repo}: {reason} Log in with "hf auth login", or '
            'set HF_TOKEN to a token that may write, and repeat the command'
        ) from error
    return str(address)
