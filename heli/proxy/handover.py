"""How the interceptor hands a call to the gateway: by two headers that nobody else can write.

The gateway takes them out before anything travels on or is recorded.
"""

ORIGIN_HEADER = b"Heli-Intercept-Origin"
"""Where the program sent its call, `https://api.openai.com`."""
SECRET_HEADER = b"Heli-Intercept-Secret"
"""What only processes of this user know. Named so that it is masked wherever headers are recorded."""
