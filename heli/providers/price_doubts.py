"""When the listed price may not be what is paid: a monthly plan covers the call, or a region costs extra."""

import re

from heli.schema.exchange import Exchange

_OPENAI_REGION = re.compile(r"https://[a-z0-9-]+\.api\.openai\.com")
_PLAN_HOSTS = {
    "https://chatgpt.com": "a ChatGPT plan",
    "https://cloudcode-pa.googleapis.com": "a Gemini Code Assist plan",
    "https://daily-cloudcode-pa.googleapis.com": "a Gemini Code Assist plan",
    "https://api.githubcopilot.com": "a GitHub Copilot plan",
    "https://api.individual.githubcopilot.com": "a GitHub Copilot plan",
    "https://api.business.githubcopilot.com": "a GitHub Copilot plan",
    "https://api.enterprise.githubcopilot.com": "a GitHub Copilot plan",
}


def find_price_doubt(exchange: Exchange) -> str:
    """Why the price at the API is only an estimate of what this call costs; empty when it is not."""
    plan = _PLAN_HOSTS.get(exchange.origin) or _claude_plan(exchange)
    if plan:
        return f"{plan} pays for it: this is the price at the API"
    if _OPENAI_REGION.fullmatch(exchange.origin):
        # A tenth more for models since March 2026 (developers.openai.com, Data residency).
        return "a regional endpoint may cost a tenth more"
    if "/publishers/anthropic/" in exchange.path and "/locations/global/" not in exchange.path:
        # Newer Claude models cost a tenth more at Vertex's regional endpoints than at the global one.
        return "a regional endpoint may cost a tenth more"
    return ""


def _claude_plan(exchange: Exchange) -> str:
    """Programs that sign in with a Claude account say so, as their token is not an API key."""
    if exchange.origin != "https://api.anthropic.com":
        return ""
    for name, value in exchange.request_headers:
        if len(name) == 14 and name.lower() == b"anthropic-beta" and b"oauth-" in value:
            return "a Claude plan"
    return ""
