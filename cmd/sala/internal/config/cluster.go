package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/salabroker/sala/broker/cluster"
	"github.com/salabroker/sala/broker/cluster/redis"
)

// Cluster says where a node meets the others.
type Cluster struct {
	// RedisURL is the Redis that they share. It may hold a password.
	RedisURL string
	// Name tells clusters apart on one Redis.
	Name string
	// Keys sign what nodes say, the first of them; all are believed. None for no
	// signature.
	Keys [][]byte
	// Emitter: the node also does what the official Socket.IO emitters publish.
	Emitter bool
}

// cluster returns nil for a node alone.
func (f *Flags) cluster(p *problems) *Cluster {
	if f.RedisURL == "" {
		if f.RedisEmitter {
			p.addf("--redis-emitter needs --redis-url, where the emitters publish")
		}
		return nil
	}
	if _, err := redis.New(redis.Options{URL: f.RedisURL}); err != nil {
		p.addf("--redis-url is no URL of a Redis; one looks like redis://127.0.0.1:6379 or rediss://user:password@redis.example.com:6379/0 (%s)", what(f.RedisURL))
	}
	if !cluster.ValidName(f.ClusterName) {
		p.addf("--cluster-name %q has other characters than letters, digits, '-', '_' and '.', or none", f.ClusterName)
	}
	keys := make([][]byte, len(f.ClusterKey))
	for i, text := range f.ClusterKey {
		keys[i] = []byte(text)
	}
	if err := cluster.CheckKeys(keys); err != nil {
		p.addf("cluster_key: %s", err)
	}
	return &Cluster{RedisURL: f.RedisURL, Name: f.ClusterName, Keys: keys, Emitter: f.RedisEmitter}
}

// what is wrong with the URL of a Redis, without the parts that may be secret.
func what(raw string) string {
	scheme, _, found := strings.Cut(raw, "://")
	known := []string{"redis", "rediss", "valkey", "valkeys", "unix"}
	switch {
	case !found:
		return "it lacks redis:// at its beginning"
	case !slices.Contains(known, scheme):
		return fmt.Sprintf("it begins with %s://", scheme)
	case strings.Contains(raw, "master_set=") || strings.Contains(raw, "sentinel_"):
		return "with sentinels, master_set is the name that they have for the master, as in redis://sentinel-1:26379/?master_set=mymaster&addr=sentinel-2:26379"
	default:
		return "behind the host and port there is at most the number of a database; special characters of a password are written as %40 for @, %2F for /"
	}
}

// clusterNotes say what is odd about the flags of the cluster.
func (f *Flags) clusterNotes() []string {
	switch {
	case f.RedisURL == "" && len(f.ClusterKey) > 0:
		return []string{"cluster_key: is set, but there is no --redis-url, so this node is alone"}
	case f.RedisURL != "" && len(f.ClusterKey) == 0 && !f.Dev:
		return []string{"cluster_key: isn't set, so whoever can write to the Redis can speak as a node; make one with: openssl rand -hex 32, the same for every node"}
	}
	return nil
}

// isRedis reports whether the path of a URL with this scheme can only be the
// number of a database.
func isRedis(scheme string) bool {
	return slices.Contains([]string{"redis", "rediss", "valkey", "valkeys"}, scheme)
}

func isDatabase(path string) bool {
	return strings.Trim(strings.TrimPrefix(path, "/"), "0123456789") == ""
}

// maskURL shows a URL without the password and, as a parameter may be one,
// without its query.
func maskURL(raw string) string {
	u, err := url.Parse(raw)
	switch {
	case raw == "":
		return ""
	case err != nil || u.Opaque != "" || u.Scheme == "":
		return masked
	case strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		return masked // a password without the host behind it
	case isRedis(u.Scheme) && !isDatabase(u.Path):
		return masked // "redis://user:/password" or "redis://user:1/password", which lack their host as well
	}
	shown := u.Scheme + "://"
	if u.User != nil {
		name := masked + "@" // alone it could be a password that lacks its colon
		if _, both := u.User.Password(); both {
			name = u.User.Username() + ":" + name
		}
		shown += name
	}
	shown += u.Host + u.Path
	if u.RawQuery != "" {
		shown += "?" + masked
	}
	return shown
}
