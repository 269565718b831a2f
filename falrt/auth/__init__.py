"""Keys and tokens: finding the key, and a valid token for every handshake."""

from falrt.auth.credentials import Key, Token, find_key
from falrt.auth.token_cache import TokenCache
from falrt.auth.token_providers import TokenProvider

__all__ = ["Key", "Token", "TokenCache", "TokenProvider", "find_key"]
