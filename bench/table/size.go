package main

import (
	"crypto/tls"
	"fmt"
	"math"
	"os"
	"time"
)

const mega = 1e6

var (
	memory = row{"memory", "RSS idle / after 1 M tokens", "< 60 / < 90 MB", "< 30 / < 45 MB",
		func(b *bench) (figure, error) {
			const clients = 1_000
			s, err := b.program(b.world, clients)
			if err != nil {
				return figure{}, err
			}
			defer s.Stop()
			select {
			case <-time.After(2 * time.Second): // what starting has left behind is not idle yet
			case <-b.ctx.Done():
				return figure{}, b.ctx.Err()
			}
			usage, err := s.Usage()
			if err != nil {
				return figure{}, err
			}
			// Each SVID is another one, which is the most that there can be to
			// remember. They are signed on the way: a million are too many to hold.
			j := b.job(b.million)
			first := b.serials(j.Requests + j.Connections)
			j.TLS = func(int) *tls.Config { return b.world.TLS() }
			j.Form = func(i int) (string, error) { return b.world.JWTForm(i%clients, first+uint64(i), 5*time.Minute) }
			r, err := b.run(s, j)
			if err != nil {
				return figure{}, err
			}
			idle, after := float64(usage.RSS)/mega, float64(r.Server.RSSBytes)/mega
			return judged(
				fmt.Sprintf("%.0f / %.0f MB", idle, after),
				fmt.Sprintf("%d tokens for as many SVIDs, 1,000 clients in the YAML file", r.Tokens),
				idle < 60 && after < 90, idle < 30 && after < 45,
			), nil
		}}

	binary = row{"binary", "binary, stripped", "< 45 MB", "< 30 MB",
		func(b *bench) (figure, error) {
			file, err := b.build("cmd/svidgate")
			if err != nil {
				return figure{}, err
			}
			info, err := os.Stat(file)
			if err != nil {
				return figure{}, err
			}
			size := math.Round(float64(info.Size())/mega*10) / 10
			return judged(fmt.Sprintf("%.1f MB", size), "`CGO_ENABLED=0 go build -trimpath -ldflags='-s -w'`", size < 45, size < 30), nil
		}}
)
