package connections

import (
	"strings"
	"testing"
)

func TestUpgradingClientsCheckEachMessage(t *testing.T) {
	for name, c := range map[string]struct {
		packets string
		ok      bool
	}{
		"all of it":                   {`42["all",7,1] 42["one",1,2] 6 431[{}] 42["all",8,3] 42["all",9,4] 432[] 42["one",2,5]`, true},
		"a gap":                       {`42["all",7,1] 42["all",9,3]`, false},
		"twice":                       {`42["all",7,1] 42["all",7,1]`, false},
		"late":                        {`42["all",7,1] 42["all",9,4] 42["all",8,3]`, false},
		"late across kinds":           {`42["all",7,2] 42["one",1,1]`, false},
		"the second of its own first": {`42["one",2,2]`, false},
		"the first of its own twice":  {`42["one",1,1] 42["one",1,2]`, false},
		"an ack is missing":           {`431[] 433[]`, false},
		"an ack twice":                {`431[] 431[]`, false},
		"another ack's text":          {`4310[]`, false},
		"not an event":                {`41`, false},
		"nothing":                     {``, false},
	} {
		var client upgrading
		err := client.receive(strings.Split(c.packets, " ")...)
		if (err == nil) != c.ok {
			t.Errorf("%s: got the error %v, want none: %v", name, err, c.ok)
		}
		if c.ok && (client.all != 3 || client.one != 2 || client.acks != 2) {
			t.Errorf("%s: counted %+v", name, client)
		}
	}
}
