package doctor

import (
	"context"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

const (
	// skewBad is half of the leeway that SVIDs have by default (JS-10): from there
	// on it is luck.
	skewBad = 30 * time.Second
	// skewSeen is where a difference is worth a word. A Date header has whole
	// seconds, and an answer takes a while.
	skewSeen = 3 * time.Second
)

func (p *patient) claim(name string) strictjson.Value {
	v, _ := p.jwt.Payload.Get(name)
	return v
}

// clocks compares this host's with the server's, and with that of whoever signs
// SVIDs.
func clocks(_ context.Context, p *patient) verdict {
	const next = "set the clocks by NTP on this host, on the agent's and on the server's"
	var said []string
	if !p.date.IsZero() {
		switch skew := p.dated.Sub(p.date); {
		case skew.Abs() >= skewBad:
			return failed(next, "this host is %s the server", ahead(skew))
		case skew.Abs() >= skewSeen:
			said = append(said, "this host is "+ahead(skew)+" the server")
		default:
			said = append(said, "this host and the server agree")
		}
	}
	if p.jwt != nil {
		if iat, ok := p.claim("iat").NumericDate(); ok {
			// It was made a moment ago: only the future tells.
			switch skew := iat.Sub(p.Now()); {
			case skew >= skewBad:
				return failed(next, "the JWT-SVID was issued %s this host", ahead(skew))
			case skew >= skewSeen:
				said = append(said, "the JWT-SVID was issued "+ahead(skew)+" this host")
			default:
				said = append(said, "the JWT-SVID was issued in the past")
			}
		}
	}
	if len(said) == 0 {
		return notJudged("neither the server's time nor an SVID's is known")
	}
	return passed("%s", oauth.Shown(strings.Join(said, "; ")))
}
