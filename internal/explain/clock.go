package explain

import (
	"time"

	"github.com/svidgate/svidgate/internal/credential"
	"github.com/svidgate/svidgate/internal/jose"
	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

// A Clock says how far the times in a credential lie from the clock that judged.
type Clock struct {
	Now   time.Time `json:"now"`
	Times []Moment  `json:"times,omitempty"`
	// OffsetSeconds is how far the clock that judged is ahead of the one of whoever
	// asked; it is behind when below 0.
	OffsetSeconds int64 `json:"offset_seconds"`
	// IssuerAhead is by how much the issuer's clock is ahead at least, where the
	// credential says so: it was issued in what is the future here.
	IssuerAhead int64 `json:"issuer_ahead_seconds,omitempty"`
}

// A Moment is one time in a credential.
type Moment struct {
	Name    string    `json:"name"`
	Time    time.Time `json:"time"`
	Seconds int64     `json:"seconds"` // ahead of Now; behind when below 0
}

func clockOf(c credential.Credential, now, asked time.Time) *Clock {
	clock := &Clock{Now: now.UTC().Truncate(time.Second)}
	if !asked.IsZero() {
		clock.OffsetSeconds = int64(now.Sub(asked).Round(time.Second) / time.Second)
	}
	add := func(name string, t time.Time) {
		clock.Times = append(clock.Times, Moment{name, t.UTC(), int64(t.Sub(now).Round(time.Second) / time.Second)})
	}
	for _, name := range []string{"iat", "nbf", "exp"} {
		if v, ok := claimsOf(c).Get(name); ok {
			if t, ok := v.NumericDate(); ok {
				add(name, t)
			}
		}
	}
	if v, ok := membersOf(c.Proof).Get("iat"); ok {
		if t, ok := v.NumericDate(); ok {
			add(proofIat, t)
		}
	}
	if len(c.Certificates) > 0 {
		add("notBefore", c.Certificates[0].NotBefore)
		add("notAfter", c.Certificates[0].NotAfter)
	}
	for _, m := range clock.Times {
		if m.Name != "exp" && m.Name != "notAfter" && m.Name != proofIat {
			clock.IssuerAhead = max(clock.IssuerAhead, m.Seconds)
		}
	}
	return clock
}

// proofIat is when the proof of a WIT-SVID was made, by the clock of the workload.
const proofIat = "iat of the proof"

// claimsOf are the claims of a JWT-SVID or a WIT-SVID, of which nothing is checked;
// none where it cannot be read.
func claimsOf(c credential.Credential) strictjson.Members { return membersOf(c.JWT) }

func membersOf(jwt string) strictjson.Members {
	if len(jwt) > oauth.MaxJWT {
		return nil
	}
	token, err := jose.ParseCompact(jwt)
	if err != nil {
		return nil
	}
	return token.Payload
}
