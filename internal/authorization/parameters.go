package authorization

import (
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/svidgate/svidgate/internal/tokenrequest"
	"github.com/svidgate/svidgate/oauth"
)

// maxQuery bounds an authorization request, in bytes: as a browser brings it, and as
// it is written out for the steps that follow, so that what was begun can be ended.
const maxQuery = 16 << 10

// Parameters are those of an authorization request, besides those that every form
// endpoint reads.
var Parameters = []string{
	oauth.ParamResponseType, oauth.ParamRedirectURI, oauth.ParamState, oauth.ParamCodeChallenge, oauth.ParamCodeChallengeMethod,
	oauth.ParamRequest, oauth.ParamRequestURI,
}

var known = append([]string{oauth.ParamClientID, oauth.ParamScope, oauth.ParamResource}, Parameters...)

// parameters are what an authorization request says. Those that nothing reads are
// not kept (GL-5).
type parameters struct {
	values   url.Values
	repeated []string // that may stand once only (GL-4), sorted
}

// get is a parameter; one that is empty counts as absent, and one that is repeated
// has no value.
func (p parameters) get(name string) string {
	if slices.Contains(p.repeated, name) {
		return ""
	}
	for _, v := range p.values[name] {
		if v != "" {
			return v
		}
	}
	return ""
}

func (p parameters) resources() []string {
	return slices.DeleteFunc(slices.Clone(p.values[oauth.ParamResource]), func(v string) bool { return v == "" })
}

func (p parameters) encode() string { return p.values.Encode() }

// parseQuery reads the query of an authorization request. The error says nothing of
// the input.
func parseQuery(raw string) (parameters, *oauth.Error) {
	if len(raw) > maxQuery {
		return parameters{}, tooLong()
	}
	all, err := url.ParseQuery(raw)
	if err != nil {
		return parameters{}, malformed("AZ-1", "name=value pairs in percent-encoding", "a malformed query")
	}
	p := parameters{values: url.Values{}}
	for name, values := range all {
		if len(values) > 1 && name != oauth.ParamResource {
			p.repeated = append(p.repeated, name)
		}
		if !slices.Contains(known, name) {
			continue
		}
		for _, v := range values {
			if !utf8.ValidString(v) {
				return parameters{}, malformed("GL-2", "UTF-8", "other bytes in "+name)
			}
		}
		p.values[name] = values
	}
	slices.Sort(p.repeated)
	if len(p.encode()) > maxQuery { // which may be three times as long
		return parameters{}, tooLong()
	}
	return p, nil
}

// pushedParameters are what a client pushes, which has the shape of every form.
func pushedParameters(req *tokenrequest.Request) (parameters, *oauth.Error) {
	p := parameters{values: url.Values{}}
	set := func(name, value string) {
		if value != "" {
			p.values.Set(name, value)
		}
	}
	for _, name := range Parameters {
		set(name, req.Parameter(name))
	}
	set(oauth.ParamClientID, req.ClientID())
	set(oauth.ParamScope, req.Scope())
	if resources := req.Resources(); len(resources) > 0 {
		p.values[oauth.ParamResource] = slices.Clone(resources)
	}
	if len(p.encode()) > maxQuery { // what is accepted here is to be good in a browser (PA-5)
		return parameters{}, tooLong()
	}
	return p, nil
}

func tooLong() *oauth.Error {
	return malformed("GL-8", "an authorization request of at most "+strconv.Itoa(maxQuery)+" bytes", "more")
}

func malformed(rule, expected, presented string) *oauth.Error {
	return oauth.Refuse(oauth.InvalidRequest, oauth.ReasonRequestMalformed, rule, expected, presented)
}
