"""Keys and tokens: where a credential comes from, and a fresh one for every handshake."""

from falrt.auth.credentials import Key, Token, find_key
from falrt.auth.token_cache import TokenCache
from falrt.auth.token_providers import TokenProvider

__all__ = ["Key", "Token", "TokenCache", "TokenProvider", "find_key"]
