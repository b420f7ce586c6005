package explain

import (
	"cmp"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/svidgate/svidgate/internal/spoken"
	"github.com/svidgate/svidgate/oauth"
)

// A Step is the next thing to do.
type Step struct {
	Advice string `json:"advice,omitempty"`
	// Edit is what to write into the configuration before Next.
	Edit *Edit `json:"edit,omitempty"`
	// Where is the place to run Next in, unless that is here.
	Where string `json:"where,omitempty"`
	// Next is a command line, complete as it stands.
	Next string `json:"next"`
}

// An Edit is a change of a configuration file.
type Edit struct {
	File  string `json:"file,omitempty"`
	Under string `json:"under"` // the key of the table or list
	Write string `json:"write"` // one line of YAML
}

// A subject is whom and what a refusal is about.
type subject struct {
	reason             oauth.Reason // empty when accepted
	rule               string
	method             oauth.AuthMethod
	spiffeID, clientID string
	open               bool
	covering           []string
	near               *NearClient
}

func trustDomainOf(id string) string {
	rest, _ := strings.CutPrefix(id, "spiffe://")
	name, _, _ := strings.Cut(rest, "/")
	return name
}

// next chooses the command by what refused and where it was judged.
func next(s Situation, about subject, clock *Clock) Step {
	step := s.choose(about, clock)
	if id := cmp.Or(about.spiffeID, about.clientID); step.Edit != nil && oauth.Shown(id) != id {
		step.Edit = nil
		step.Advice = strings.TrimSuffix(step.Advice, ":") + ". The identifier is too long, or too much like a token, to be written out here."
	}
	switch program, rest, _ := strings.Cut(step.Next, " "); {
	case program == "svidgate" && strings.HasPrefix(rest, "token "), program == "spire-agent":
		step.Where = "where the workload runs"
	case program == "spire-server":
		step.Where = "where SPIRE's server runs"
	}
	return step
}

func (s Situation) choose(about subject, clock *Clock) Step {
	step := Step{Advice: about.reason.Next()}
	td := trustDomainOf(about.spiffeID)
	switch about.reason {
	case "":
		step.Advice = "It would be accepted now."
		if about.open {
			step.Advice = "The SVID itself would be accepted now."
		}
		owner, can := s.owner(about)
		if about.open && len(about.covering) > 0 && !can {
			s.allowMethod(&step, about, owner)
			break
		}
		if step.Next = s.tokenCommand(about); s.By == ByBundle {
			step.Advice = "A server that trusts this bundle would accept the SVID. See whether yours does:"
			step.Next = "svidgate bundle status " + quoted(td)
		}
	case oauth.ReasonTDUnknown:
		s.addTrustDomain(&step, td)
	case oauth.ReasonTDNotReady, oauth.ReasonBundleTooOld, oauth.ReasonBundleNoKeys, oauth.ReasonKIDUnknown, oauth.ReasonKIDUnknownAfterRefresh, oauth.ReasonCertChainBad:
		step.Next = s.refreshCommand(td)
	case oauth.ReasonKeyWrongUse, oauth.ReasonSignatureBad, oauth.ReasonInternal:
		if step.Next = "svidgate bundle status " + quoted(td) + s.socketFlag(); td == "" || s.By == ByBundle {
			step.Next = s.tokenCommand(about)
		}
	case oauth.ReasonNotYetValid:
		s.forgiveClock(&step, about, clock, td)
	case oauth.ReasonLifetimeTooLong:
		step.Next = entryCommand(about.spiffeID)
	case oauth.ReasonClientNotFound, oauth.ReasonClientIDMismatch, oauth.ReasonMethodNotAllowed:
		if about.rule == "CA-3" {
			s.letWITsIn(&step, about, td)
			break
		}
		s.mendClient(&step, about)
	case oauth.ReasonPoPBad:
		if step.Next = s.tokenCommand(about); about.rule == "PP-7" {
			step.Advice = "Compare the clock of the workload's machine with the one here: a proof is good for a minute either way. Then make a new proof for every request."
			step.Next = "date -u"
		}
	default:
		step.Next = s.tokenCommand(about)
	}
	return step
}

// tokenCommand gets an SVID from the Workload API as this server wants it, and a
// token for it.
func (s Situation) tokenCommand(about subject) string {
	if s.Issuer == "" { // with a bundle alone, and certificates
		return "spire-agent api fetch x509"
	}
	args := []string{"svidgate token", "--issuer", quoted(s.Issuer)}
	if about.method != "" {
		args = append(args, "--method", string(about.method))
	}
	if id := about.spiffeID; id != "" && oauth.Shown(id) == id {
		args = append(args, "--spiffe-id", quoted(about.spiffeID))
	}
	clientID := about.clientID
	if owner, can := s.owner(about); clientID == "" && can {
		clientID = owner.ID
	}
	if clientID != "" && clientID != about.spiffeID {
		args = append(args, "--client-id", quoted(clientID))
	}
	if s.EndpointAudience && about.method == oauth.MethodJWT {
		args = append(args, "--endpoint-audience")
	}
	return strings.Join(args, " ")
}

func (s Situation) socketFlag() string {
	if s.Socket == "" {
		return ""
	}
	return " --socket " + quoted(s.Socket)
}

func (s Situation) reloadCommand() string { return "svidgate reload" + s.socketFlag() }

// refreshCommand has a bundle fetched again: by this server, or, where the bundle
// comes by way of SPIRE, by that.
func (s Situation) refreshCommand(td string) string {
	if s.By == ByBundle {
		return "spire-server bundle show -format spiffe"
	}
	if t, ok := s.trustDomain(td); ok && t.Federated {
		return "spire-server federation refresh -id " + quoted("spiffe://"+td)
	}
	return "svidgate bundle refresh " + quoted(td) + s.socketFlag()
}

func (s Situation) addTrustDomain(step *Step, td string) {
	if s.By == ByBundle {
		step.Next = "spire-server bundle show -format spiffe"
		step.Advice = "Explain with the bundle of the trust domain that the SVID names; its SPIRE server prints it."
		return
	}
	step.Advice = "If workloads of " + td + " are meant to come here, put its bundle beside the configuration " +
		"(on its SPIRE server: spire-server bundle show -format spiffe > " + td + ".json), or name its bundle endpoint, and reload. " +
		"Otherwise find out why the workload belongs to that trust domain."
	step.Edit = &Edit{File: s.ConfigFile, Under: "trust_domains", Write: fmt.Sprintf("%s: {bundle_file: %s}", quotedYAML(td), quotedYAML(filepath.Base(td+".json")))}
	step.Next = s.reloadCommand()
}

// letWITsIn is for a WIT-SVID of a trust domain or profile that has none.
func (s Situation) letWITsIn(step *Step, about subject, td string) {
	if t, known := s.trustDomain(td); known && t.WITOff {
		step.Advice = "enable_wit is false for " + td + ". If its WIT-SVIDs are meant to authenticate, say so; otherwise have the workload use another method:"
		step.Edit = &Edit{File: s.ConfigFile, Under: "trust_domains, at " + td, Write: "enable_wit: true"}
		step.Next = s.reloadCommand()
		return
	}
	step.Advice = "The profile of the client has no WIT-SVIDs: have the workload use another method, or give the client another profile."
	about.method = oauth.MethodJWT
	step.Next = s.tokenCommand(about)
}

// maxLeeway is the largest leeway that can be configured (JS-10).
const maxLeeway = 300 * time.Second

// forgiveClock is for an SVID from the future.
func (s Situation) forgiveClock(step *Step, about subject, clock *Clock, td string) {
	ahead := seconds(clock.ahead())
	leeway := (ahead + 30*time.Second).Round(30 * time.Second)
	step.Next = "date -u"
	if ahead > 0 {
		step.Advice = fmt.Sprintf("Compare the clocks: the one of the machine that issued the SVID is at least %s ahead of this one. Set the wrong one right.", spoken.Duration(ahead))
	}
	if ahead <= 0 || td == "" || about.method != oauth.MethodJWT || leeway > maxLeeway || s.By == ByBundle {
		return
	}
	step.Advice = strings.TrimSuffix(step.Advice, ".") + "; until that is done, forgive it:"
	step.Edit = &Edit{File: s.ConfigFile, Under: "trust_domains, at " + td, Write: fmt.Sprintf("svid: {leeway: %ds}", leeway/time.Second)}
	step.Next = s.reloadCommand()
}

func (c *Clock) ahead() int64 {
	if c == nil {
		return 0
	}
	return c.IssuerAhead
}

var plain = regexp.MustCompile(`^[A-Za-z0-9._:/@%+=,-]+$`)

// quoted is a word of a command line.
func quoted(s string) string {
	if plain.MatchString(s) {
		return s
	}
	return "'" + strings.ReplaceAll(oauth.Shown(s), "'", `'\''`) + "'"
}

// quotedYAML is a string in YAML.
func quotedYAML(s string) string { return `"` + oauth.Shown(s) + `"` }
