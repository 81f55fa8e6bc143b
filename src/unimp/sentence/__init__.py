"""History + item attributes -> `UserSentence`, ordered parts. No torch, no token ids."""
