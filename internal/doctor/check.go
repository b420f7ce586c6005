package doctor

import (
	"context"
	"fmt"
	"time"

	"github.com/svidgate/svidgate/oauth"
)

// A check looks at one thing.
type check struct {
	id   string // stable, for --json
	what string
	// needs are the facts that earlier checks must have established.
	needs fact
	run   func(context.Context, *patient) verdict
}

// A fact is something that a check established and later checks build on.
type fact uint16

const (
	factSocket   fact = 1 << iota // a Workload API may be asked
	factWorkload                  // it has answered
	factX509                      // there is an X.509-SVID
	factJWT                       // there is a JWT-SVID for the issuer
	factTLS                       // the server's certificate verifies
	factMetadata                  // the issuer's metadata is at hand
	factIssuer                    // and is the issuer's
	factKeys                      // so are its keys
	factWIT                       // there is a WIT-SVID
)

// missing says which fact was not established, the first that matters.
var missing = []struct {
	fact fact
	why  string
}{
	{factSocket, "there is no Workload API to ask"},
	{factWorkload, "the Workload API gave nothing"},
	{factX509, "there is no X.509-SVID"},
	{factWIT, "there is no WIT-SVID"},
	{factJWT, "there is no JWT-SVID"},
	{factTLS, "there is no TLS connection to the issuer"},
	{factMetadata, "the issuer's metadata is not at hand"},
	{factIssuer, "the metadata is another issuer's"},
	{factKeys, "the issuer's keys are not at hand"},
}

// A verdict is what a check came to.
type verdict struct {
	outcome oauth.Outcome
	found   string
	next    string
}

func passed(format string, args ...any) verdict {
	return verdict{outcome: oauth.Passed, found: fmt.Sprintf(format, args...)}
}

func notJudged(format string, args ...any) verdict {
	return verdict{outcome: oauth.NotJudged, found: fmt.Sprintf(format, args...)}
}

// failed takes the next thing to do first, which never is missing.
func failed(next, format string, args ...any) verdict {
	return verdict{oauth.Refused, fmt.Sprintf(format, args...), next}
}

// A Finding is what became of one check.
type Finding struct {
	Check   string        `json:"check"`
	What    string        `json:"what"`
	Outcome oauth.Outcome `json:"outcome"` // passed, failed or not_judged
	Found   string        `json:"found"`
	Next    string        `json:"next,omitempty"` // of a check that failed
}

// Failed is the outcome of a check that found a fault.
const Failed oauth.Outcome = "failed"

// perCheck bounds each check, so that one that hangs leaves time for the rest.
const perCheck = 10 * time.Second

// checks are in the order of the way that a workload goes, so that the first
// failure is the one to mend.
var checks = []check{
	{"workload_socket", "Workload API", 0, workloadSocket},
	{"x509_svid", "X.509-SVID", factSocket, x509SVID},
	{"wit_svid", "WIT-SVID", factWorkload, witSVID},
	{"tls", "TLS to the issuer", 0, serverTLS},
	{"metadata", "metadata of the issuer", factTLS, serverMetadata},
	{"jwks", "keys of the issuer", factMetadata, serverKeys},
	{"jwt_svid", "JWT-SVID for the issuer", factWorkload, jwtSVID},
	{"issuer_audience", "issuer and audience", factJWT | factMetadata, issuerAudience},
	{"clock", "clocks", 0, clocks},
	{"client_match", "client of the SPIFFE ID", 0, clientMatch},
	{"token_jwt", "token by spiffe_jwt", factJWT | factMetadata | factIssuer | factKeys, tokenByJWT},
	{"token_x509", "token by spiffe_x509", factX509 | factMetadata | factIssuer | factKeys, tokenByX509},
	{"token_wit", "token by spiffe_wit", factWIT | factMetadata | factIssuer | factKeys, tokenByWIT},
	{"server_bundle", "bundle at the server", 0, serverBundle},
	{"signing_keys", "signing keys of the server", 0, signingKeys},
	{"server_ready", "readiness of the server", 0, serverReady},
	{"older_forms", "use of older forms", 0, olderForms},
}

// Examine runs every check and tells of each as it ends; told may be nil. An error
// is a configuration that makes no sense.
func Examine(ctx context.Context, c Config, told func(Finding)) ([]Finding, error) {
	p, err := newPatient(c)
	if err != nil {
		return nil, err
	}
	defer p.close()
	all := make([]Finding, 0, len(checks))
	for _, ch := range checks {
		f := p.judge(ctx, ch)
		if all = append(all, f); told != nil {
			told(f)
		}
	}
	return all, nil
}

func (p *patient) judge(ctx context.Context, ch check) Finding {
	f := Finding{Check: ch.id, What: ch.what}
	v := verdict{}
	switch lacks := ch.needs &^ p.facts; {
	case ctx.Err() != nil:
		v = notJudged("the time given was over")
	case lacks != 0:
		for _, m := range missing {
			if lacks&m.fact == 0 {
				continue
			}
			v = notJudged("%s", m.why)
			if m.fact == factJWT && p.Method != "" && p.Method != oauth.MethodJWT {
				v = p.notAsked()
			}
			break
		}
	default:
		ctx, cancel := context.WithTimeout(ctx, perCheck)
		v = ch.run(ctx, p)
		cancel()
	}
	f.Outcome, f.Found, f.Next = v.outcome, v.found, v.next
	if f.Outcome == oauth.Refused {
		f.Outcome = Failed
		p.faults++
	}
	return f
}
