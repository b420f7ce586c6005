package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"time"

	"github.com/svidgate/svidgate/bench/internal/load"
	"github.com/svidgate/svidgate/bench/internal/world"
	"github.com/svidgate/svidgate/oauth"
)

const (
	peerFolder  = "bench/peer"
	peerClients = 1_000
)

var errNoPeer = errors.New("oidc-provider is not installed: npm ci --prefix " + peerFolder)

var peer = row{"peer", "oidc-provider 9.13.3 beside us: private_key_jwt, each assertion another one, → ES256 JWT; 1,000 clients each, both over TLS", "–", "–",
	func(b *bench) (figure, error) {
		ours, err := b.registry(b.world, peerClients)
		if err != nil {
			return figure{}, err
		}
		defer ours.Stop()
		theirs, err := b.peer()
		if err != nil {
			return figure{}, err
		}
		defer theirs.Stop()
		mine, others, err := b.pair(ours, theirs, func(_ int, s *server) (load.Job, error) {
			if s == theirs {
				return b.peerJob()
			}
			return fresh(b, s)
		})
		if err != nil {
			return figure{}, err
		}
		ratio := ratios(each(mine, perCore), each(others, perCore))
		rss := func(r load.Result) float64 { return float64(r.Server.RSSBytes) / mega }
		return figure{
			measured: fmt.Sprintf("%s per core-s, p99 %.1f ms, RSS %.0f MB", spreadOf(each(mine, perCore)).perSecond(), spreadOf(each(mine, p99)).median, spreadOf(each(mine, rss)).max),
			beside: fmt.Sprintf("peer %s per core-s, p99 %.1f ms, RSS %.0f MB; we %s × as many",
				spreadOf(each(others, perCore)).perSecond(), spreadOf(each(others, p99)).median, spreadOf(each(others, rss)).max, ratio.format("%.1f")),
			unjudged: true,
		}, nil
	}}

// peer starts oidc-provider on the core of the servers.
func (b *bench) peer() (*server, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(peerFolder + "/node_modules/oidc-provider"); errors.Is(err, fs.ErrNotExist) {
		return nil, errNoPeer
	}
	jwk, err := b.world.Domains[0].JWK()
	if err != nil {
		return nil, err
	}
	s := &server{world: b.world, clients: peerClients}
	return s, b.startProgram(s, nil, node, peerFolder+"/server.mjs", b.world.Certificate(), b.world.Key(),
		world.Issuer, world.Resource, strconv.Itoa(peerClients), string(jwk))
}

// peerJob is a round of assertions of RFC 7523, signed with the clients' one key.
func (b *bench) peerJob() (load.Job, error) {
	j := b.job(b.tokens / 2) // it takes its time
	n := j.Requests + j.Connections
	first := b.serials(n)
	forms := make([]string, n)
	for i := range forms {
		id, now := fmt.Sprintf("client-%d", i%peerClients), time.Now()
		assertion, err := b.world.Domains[0].Sign(map[string]any{
			"iss": id, "sub": id, "aud": world.Issuer, "iat": now.Unix(), "exp": now.Add(5 * time.Minute).Unix(),
			"jti": strconv.FormatUint(first+uint64(i), 36),
		})
		if err != nil {
			return load.Job{}, err
		}
		forms[i] = url.Values{
			oauth.ParamGrantType:           {string(oauth.GrantClientCredentials)},
			oauth.ParamClientID:            {id},
			oauth.ParamClientAssertionType: {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
			oauth.ParamClientAssertion:     {assertion},
			oauth.ParamScope:               {"read"},
		}.Encode()
	}
	j.TLS = func(int) *tls.Config { return b.world.TLS() }
	j.Form = func(i int) (string, error) { return forms[i], nil }
	return j, nil
}
