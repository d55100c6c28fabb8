package nodeproxy_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/salabroker/sala/broker"
)

// TestRefusedPostsOfPythonClients posts to sessions that have ended while their node lives. The Python
// clients never connect again after a POST that is refused, so the node that they reach closes their
// connection. A proxy gets an answer, and so does everybody else.
func TestRefusedPostsOfPythonClients(t *testing.T) {
	const requests, aiohttp, browser = "python-requests/2.28.1", "Python/3.11 aiohttp/3.8.4", "Mozilla/5.0"
	nodes := startCluster(t, 2, clusterKey, broker.Options{})
	unknown := func() *session { return &session{t: t, sid: nodes[0].id + strings.Repeat("x", 24)} }
	ended := func() *session {
		s := join(t, "ana", nodes[0])
		if _, err := nodes[1].Disconnect(t.Context(), broker.Target{Namespace: "/", Everyone: true}, "enough"); err != nil {
			t.Fatal(err)
		}
		for s.get(nodes[1]).status == http.StatusOK {
		}
		return s
	}
	for name, tt := range map[string]struct {
		session            func() *session
		agent, proxy, body string
		want               int // 0: no answer
	}{
		"requests":                       {unknown, requests, "", "4x", 0},
		"aiohttp":                        {unknown, aiohttp, "", "4x", 0},
		"a large one":                    {unknown, requests, "", "4" + strings.Repeat("x", 100_000), 0},
		"after the end":                  {ended, requests, "", "4x", 0},
		"a goodbye":                      {unknown, requests, "", "1", http.StatusOK},
		"through a proxy":                {unknown, requests, "192.0.2.1", "4x", http.StatusBadRequest},
		"after the end, through a proxy": {ended, requests, "192.0.2.1", "4x", http.StatusOK},
		"a browser":                      {unknown, browser, "", "4x", http.StatusBadRequest},
		"a browser, after the end":       {ended, browser, "", "4x", http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{"User-Agent": {tt.agent}}
			if tt.proxy != "" {
				header.Set("X-Forwarded-For", tt.proxy)
			}
			s := tt.session()
			before := nodes[1].metric("sala_cluster_forwarded_requests_total", "ok", "polling")
			got, err := trySend(t.Context(), http.MethodPost, s.url(nodes[1]), tt.body, header)
			if got.status != tt.want || (err != nil) != (tt.want == 0) {
				t.Errorf("the answer is %v, %v, want %d", got, err, tt.want)
			}
			if got.header.Get("Sala-Hang-Up") != "" {
				t.Error("the client gets what only nodes tell each other")
			}
			eventually(t, "the POST has been passed on", func() bool {
				return nodes[1].metric("sala_cluster_forwarded_requests_total", "ok", "polling") == before+1
			})
		})
	}
}
