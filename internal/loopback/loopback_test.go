package loopback

import "testing"

func TestHost(t *testing.T) {
	for host, want := range map[string]bool{
		"localhost": true, "LocalHost": true, "127.0.0.1": true, "127.8.0.1": true, "::1": true, "::ffff:127.0.0.1": true,
		"": false, "localhost.": false, "localhost.example": false, "127.0.0.1.example": false, "0.0.0.0": false, "::": false,
		"128.0.0.1": false, "::2": false, "::ffff:10.0.0.1": false, "::1%lo": false, "[::1]": false, "127.1": false, "127.0.0.01": false,
	} {
		if got := Host(host); got != want {
			t.Errorf("%q: %t", host, got)
		}
	}
}
