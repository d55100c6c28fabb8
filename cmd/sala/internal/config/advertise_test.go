package config

import "testing"

func TestParseAdvertise(t *testing.T) {
	for text, want := range map[string]Advertise{
		"":                                {},
		"10.0.0.5:3000":                   {Host: "10.0.0.5", Port: "3000"},
		"10.0.0.5":                        {Host: "10.0.0.5"},
		"node1.example.com:80":            {Host: "node1.example.com", Port: "80"},
		"https://node1.example.com:3000/": {Scheme: "https", Host: "node1.example.com", Port: "3000"},
		"http://[2001:db8::1]:3000":       {Scheme: "http", Host: "2001:db8::1", Port: "3000"},
		"[2001:db8::1]:3000":              {Host: "2001:db8::1", Port: "3000"},
		"2001:db8::1":                     {Host: "2001:db8::1"},
		"http://node1":                    {Scheme: "http", Host: "node1"},
	} {
		if got, err := parseAdvertise(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{
		":3000", "0.0.0.0:3000", "[::]:3000", "http://", "ftp://node1", "http://node1/path", "http://user:secret@node1",
		"http://node1?x", "node1:0", "node1:99999", "node1:port", "a b", "http://node1#x", "node1:3000/path",
	} {
		if got, err := parseAdvertise(text); err == nil {
			t.Errorf("%q is accepted: %+v", text, got)
		}
	}
}

func TestAdvertiseSetting(t *testing.T) {
	c := mustBuild(t, "--redis-url", "redis://h", "--cluster-key", "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk", "--advertise", "10.0.0.5:3000")
	if want := (Advertise{Host: "10.0.0.5", Port: "3000"}); c.Cluster.Advertise != want || len(c.Warnings) != 0 {
		t.Errorf("it is %+v, with the warnings %q", c.Cluster.Advertise, c.Warnings)
	}
	if c := mustBuild(t, "--advertise", "10.0.0.5:3000"); len(c.Warnings) != 1 {
		t.Errorf("a node that is alone: the warnings are %q", c.Warnings)
	}
}
