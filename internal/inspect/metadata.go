package inspect

import (
	"net/url"
	"slices"
	"strings"

	"github.com/svidgate/svidgate/internal/strictjson"
	"github.com/svidgate/svidgate/oauth"
)

func inspectServer(members strictjson.Members) *Report {
	r := &Report{Kind: ServerMetadata, Name: "authorization server metadata (RFC 8414)", Because: "it has issuer or token_endpoint"}
	if _, ok := members.Get("subject_types_supported"); ok {
		r.Name = "provider metadata (OpenID Connect Discovery)"
		r.Because = "it has issuer and subject_types_supported"
	}
	r.Sections = []Section{all("", members)}
	_, discovery := members.Get("subject_types_supported")
	_, grants := members.Get("token_endpoint")
	if discovery && !grants { // what verifiers of tokens read, and no client (AM-8)
		r.Remarks = issuerRemarks(members)
		return r
	}
	r.Remarks = ServerRemarks(members)
	return r
}

// ServerRemarks are what stands between a client that has SVIDs and the server
// that this metadata document is of. Whose document it is, is for the caller to
// ask: the issuer is compared with nothing (AM-2).
func ServerRemarks(members strictjson.Members) []Remark {
	r := Report{Remarks: issuerRemarks(members)}
	for _, m := range []struct{ name, rule string }{{"token_endpoint", "CL-10"}, {"jwks_uri", "AM-4"}} {
		if why := notHTTPS(members, m.name); why != "" {
			r.remark(m.rule, m.name+" "+why)
		}
	}
	if v, ok := members.Get("grant_types_supported"); ok {
		if grants, ok := v.Texts(); !ok || !slices.Contains(grants, string(oauth.GrantClientCredentials)) {
			r.remark("AM-4", "grant_types_supported has no client_credentials")
		}
	}
	methods, _ := members.Get("token_endpoint_auth_methods_supported")
	switch names, ok := methods.Texts(); {
	case !ok:
		r.remark("MD-3", "token_endpoint_auth_methods_supported is not there, so a client cannot tell how to authenticate")
	case !slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, "spiffe_") }):
		r.remark("MD-1", "token_endpoint_auth_methods_supported has no method that an SVID serves")
	}
	if v, ok := members.Get("mtls_endpoint_aliases"); ok {
		switch aliases, err := v.Object(); {
		case err != nil:
			r.remark("AM-5", "mtls_endpoint_aliases is not an object")
		default:
			if why := notHTTPS(aliases, "token_endpoint"); why != "" {
				r.remark("AM-5", "token_endpoint of mtls_endpoint_aliases "+why)
			}
		}
	}
	return r.Remarks
}

func issuerRemarks(members strictjson.Members) []Remark {
	var r Report
	if why := notHTTPS(members, "issuer"); why != "" {
		r.remark("AM-2", "issuer "+why)
	} else if strings.ContainsAny(text(members, "issuer"), "?#") {
		r.remark("AM-2", "issuer has a query or a fragment")
	}
	return r.Remarks
}

// notHTTPS says why a member is no https URL; empty when it is one.
func notHTTPS(members strictjson.Members, name string) string {
	v, ok := members.Get(name)
	if !ok {
		return "is missing"
	}
	s, ok := v.Text()
	if !ok {
		return "is not a string"
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
		return "is not an https URL with a host and no user information"
	}
	return ""
}

func inspectResource(members strictjson.Members) *Report {
	r := &Report{Kind: ResourceMetadata, Name: "protected resource metadata (RFC 9728)", Because: "it has resource"}
	r.Sections = []Section{all("", members)}
	id := text(members, "resource")
	if u, err := url.Parse(id); err != nil || !u.IsAbs() || strings.Contains(id, "#") {
		r.open("PR", 1, "resource is not an absolute URI without fragment")
	}
	v, ok := members.Get("authorization_servers")
	if servers, texts := v.Texts(); !ok || !texts || len(servers) == 0 {
		r.open("PR", 2, "authorization_servers names none, so a client cannot tell where to get a token")
	}
	return r
}
