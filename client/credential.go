package client

import (
	"context"
	"crypto"
	"errors"

	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/jwtsvid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"

	"github.com/svidgate/svidgate/oauth"
)

// A JWTSource gets JWT-SVIDs. The returned token is in compact form and names
// the audience and no other. An error means that there is no JWT-SVID now; the
// client asks again later. Implementations obey ctx.
type JWTSource interface {
	FetchJWTSVID(ctx context.Context, audience string) (string, error)
}

// An X509Source holds the workload's X.509-SVID of this moment, such as go-spiffe's
// workloadapi.X509Source. It is asked at every token request and every handshake
// and must answer from memory. An error means that the workload has no X.509-SVID
// now, or no longer.
type X509Source interface {
	GetX509SVID() (*x509svid.SVID, error)
}

// A WITSource holds the workload's WIT-SVID of this moment: the token in compact
// form, and the private key that it names in cnf. It is asked at every use and must
// answer from memory. An error means that the workload has no WIT-SVID now, or no
// longer.
type WITSource interface {
	GetWITSVID() (token string, key crypto.Signer, err error)
}

// A Credential is one kind of SVID that the workload can show. The zero value is
// none.
type Credential struct {
	method oauth.AuthMethod
	jwt    JWTSource
	x509   X509Source
	wit    WITSource
}

// JWTSVID is client authentication with a JWT-SVID (spiffe_jwt). One assertion is
// asked for with the server's issuer identifier as its only audience, and used
// until half of its life is over (CJ-11, CL-7). When the server refuses one that was
// sent before, because it counts each once (CJ-13), another is asked for and sent.
func JWTSVID(source JWTSource) Credential {
	return Credential{method: oauth.MethodJWT, jwt: source}
}

// X509SVID is client authentication by mutual TLS with an X.509-SVID
// (spiffe_x509). Given beside a JWT-SVID it is presented on every token request,
// so that tokens can be bound to it, whichever of the two authenticates (CA-6).
func X509SVID(source X509Source) Credential {
	return Credential{method: oauth.MethodX509, x509: source}
}

// WITSVID is client authentication with a WIT-SVID and a proof of possession of its
// key, made anew for each request to the server (spiffe_wit, PP-15). With it no
// certificate is shown: tokens are bound to the key of the WIT-SVID (DP-10), and
// [Client.Transport] or [Token.Authorize] make a DPoP proof for each call of an API.
// After a rotation a token is used with the key it is bound to until there is a new
// one, but never after the WIT-SVID of that key has ended (CL-8).
func WITSVID(source WITSource) Credential {
	return Credential{method: oauth.MethodWIT, wit: source}
}

// FromJWTSource makes a JWTSource of go-spiffe's. The subject picks one of several
// identities; the zero ID takes the source's default.
func FromJWTSource(source jwtsvid.Source, subject spiffeid.ID) JWTSource {
	return goSPIFFE{source, subject}
}

type goSPIFFE struct {
	source  jwtsvid.Source
	subject spiffeid.ID
}

func (g goSPIFFE) FetchJWTSVID(ctx context.Context, audience string) (string, error) {
	svid, err := g.source.FetchJWTSVID(ctx, jwtsvid.Params{Audience: audience, Subject: g.subject})
	if err != nil {
		return "", err
	}
	// A source with a picker returns neither SVID nor error when nothing fits.
	if svid == nil {
		return "", errors.New("the source has no JWT-SVID of this workload")
	}
	return svid.Marshal(), nil
}
