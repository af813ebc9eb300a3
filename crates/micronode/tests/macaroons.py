"""Macaroons as pymacaroons understands them, for the tests in authority/pymacaroons.rs.

    narrow TOKEN CAVEAT...          what the token says, and the token with these caveats more
    verify SECRET TOKEN CAVEAT...   whether it was made under the secret (hex), if these hold

Prints one line of JSON.
"""

import json
import sys

from pymacaroons import Macaroon, Verifier
from pymacaroons.exceptions import MacaroonException


def narrow(token, *caveats):
    macaroon = Macaroon.deserialize(token)
    told = {
        "version": macaroon.version,
        "location": macaroon.location,
        "identifier": macaroon.identifier_bytes.hex(),
        "caveats": [caveat.caveat_id_bytes.decode() for caveat in macaroon.caveats],
    }
    for caveat in caveats:
        macaroon.add_first_party_caveat(caveat)
    return {**told, "token": macaroon.serialize()}


def verify(secret, token, *caveats):
    verifier = Verifier()
    for caveat in caveats:
        verifier.satisfy_exact(caveat)
    try:
        # Derives the key from the secret as libmacaroons does.
        return verifier.verify(Macaroon.deserialize(token), bytes.fromhex(secret))
    except MacaroonException:
        return False


print(json.dumps({"narrow": narrow, "verify": verify}[sys.argv[1]](*sys.argv[2:])))
