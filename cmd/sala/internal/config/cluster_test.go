package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func TestCluster(t *testing.T) {
	if c := mustBuild(t); c.Cluster != nil || len(c.Warnings) != 0 {
		t.Errorf("without a Redis the cluster is %+v, with the warnings %q", c.Cluster, c.Warnings)
	}
	key := strings.Repeat("k", 32)
	file := writeFile(t, "redis_url: rediss://ana:secret@redis.example.com/1\ncluster_key: "+key+"\ncluster_name: blue.1\nredis_emitter: true\n")
	c := mustBuild(t, "--config", file)
	want := &Cluster{RedisURL: "rediss://ana:secret@redis.example.com/1", Name: "blue.1", Keys: [][]byte{[]byte(key)}, Emitter: true}
	if !reflect.DeepEqual(c.Cluster, want) || len(c.Warnings) != 0 {
		t.Errorf("the cluster is %+v, with the warnings %q", c.Cluster, c.Warnings)
	}
	for _, fine := range []string{"redis://localhost", "redis://:p%40ss@10.0.0.1:6380/15", "unix:///run/redis.sock", "valkey://h:1?addr=h:2&addr=h:3", "rediss://u:p@s1?master_set=m&addr=s2:26379&sentinel_password=x"} {
		if c := mustBuild(t, "--redis-url", fine); c.Cluster == nil || c.Cluster.Name != "sala" || c.Cluster.RedisURL != fine {
			t.Errorf("%s: %+v", fine, c.Cluster)
		}
	}
}

func TestClusterWarnings(t *testing.T) {
	key := strings.Repeat("k", 32)
	for _, tt := range []struct {
		name string
		args []string
		want string
	}{
		{"no key", []string{"--redis-url", "redis://h"}, "can pose as a node"},
		{"key without a Redis", []string{"--cluster-key", key}, "this node is alone"},
		{"both", []string{"--redis-url", "redis://h", "--cluster-key", key}, ""},
		{"bound for histories", []string{"--redis-url", "redis://h", "--cluster-key", key, "--history-max-bytes", "1000000"}, "--history-max-bytes has no effect"},
		{"bound without a Redis", []string{"--history-max-bytes", "1000000"}, ""},
	} {
		if warnings := strings.Join(mustBuild(t, tt.args...).Warnings, "\n"); !strings.Contains(warnings, tt.want) || tt.want == "" && warnings != "" {
			t.Errorf("%s: the warnings are %q, want %q", tt.name, warnings, tt.want)
		}
	}
}

func TestClusterSecretsAreMasked(t *testing.T) {
	const secret = "not-to-be-seen-not-to-be-seen-not-to-be-seen"
	for url, want := range map[string]string{
		"redis://h:6379/2":                        "redis_url: \"redis://h:6379/2\" ",
		"redis://" + secret + "@h":                "redis_url: redis://***@h ",
		"redis://ana:" + secret + "@h":            "redis_url: \"redis://ana:***@h\" ",
		"rediss://:" + secret + "@h?addr=" + "h2": "redis_url: \"rediss://:***@h?***\" ",
		"redis://u:" + secret + "/" + secret:      "redis_url: \"***\" ",
		secret:                                    "redis_url: \"***\" ",
		secret + ":6379":                          "redis_url: \"***\" ",
	} {
		flags, ctx := mustParse(t, nil, "--redis-url", url, "--cluster-key", secret)
		var out bytes.Buffer
		if err := (&Config{Flags: flags}).Effective(&out, ctx); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out.String(), secret) || !strings.Contains(out.String(), want) || !strings.Contains(out.String(), `cluster_key: ["***"] `) {
			t.Errorf("%s: want %q in\n%s", url, want, out.String())
		}
	}
}
