package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	salav1 "github.com/salabroker/sala/gen/sala/v1"
)

// newPlugin returns the plugin for the protos of the API, without their comments.
func newPlugin(t *testing.T) *protogen.Plugin {
	t.Helper()
	request := &pluginpb.CodeGeneratorRequest{}
	seen := map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if seen[file.Path()] {
			return
		}
		seen[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		request.ProtoFile = append(request.ProtoFile, protodesc.ToFileDescriptorProto(file))
	}
	for _, file := range []protoreflect.FileDescriptor{
		salav1.File_sala_v1_token_proto, salav1.File_sala_v1_key_proto, salav1.File_sala_v1_room_proto,
		salav1.File_sala_v1_presence_proto, salav1.File_sala_v1_message_proto, salav1.File_sala_v1_socket_proto,
		salav1.File_sala_v1_cluster_proto, salav1.File_sala_v1_observe_proto,
	} {
		add(file)
		request.FileToGenerate = append(request.FileToGenerate, file.Path())
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		t.Fatal(err)
	}
	return plugin
}

const (
	httpFile  = "../../proto/sala/v1/http.yaml"
	partsFile = "../../proto/sala/v1/openapi.yaml"
)

// schemasOf generates the description and returns its schemas.
func schemasOf(t *testing.T) map[string]any {
	t.Helper()
	plugin := newPlugin(t)
	if err := generate(plugin, httpFile, partsFile); err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Components struct{ Schemas map[string]any }
	}
	if err := json.Unmarshal([]byte(plugin.Response().GetFile()[0].GetContent()), &doc); err != nil {
		t.Fatal(err)
	}
	return doc.Components.Schemas
}

// at follows names into a value.
func at(t *testing.T, value any, names ...string) string {
	t.Helper()
	for _, name := range names {
		fields, ok := value.(map[string]any)
		if !ok {
			t.Fatalf("there is no %s in %v", name, value)
		}
		value = fields[name]
	}
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestSchemas(t *testing.T) {
	schemas := schemasOf(t)
	for _, c := range []struct {
		what string
		path []string
		want string
	}{
		{"a request's needed fields", []string{"JoinRequest", "required"}, `["selector","rooms"]`},
		{"a request refuses other fields", []string{"JoinRequest", "additionalProperties"}, `false`},
		{"an answer has all fields", []string{"Room", "required"}, `["name","namespace","sockets"]`},
		{"an answer may get other fields", []string{"Room", "additionalProperties"}, `null`},
		{"a field of the path isn't in the body", []string{"DrainRequest", "properties"}, `null`},
		{"64 bits are text", []string{"RoomMessage", "properties", "offset", "type"}, `"string"`},
		{"32 bits are a number", []string{"Room", "properties", "sockets", "maximum"}, `4294967295`},
		{"a time that may be unset", []string{"SocketSession", "properties", "awayTime", "type"}, `["string","null"]`},
		{"a time that is always set", []string{"Socket", "properties", "connectTime", "type"}, `"string"`},
		{"a message that may be unset", []string{"Socket", "properties", "session", "anyOf"}, `[{"$ref":"#/components/schemas/SocketSession"},{"type":"null"}]`},
		{"a duration", []string{"IssueTokenRequest", "properties", "ttl", "type"}, `"string"`},
		{"any value", []string{"UpdateRequest", "properties", "data", "type"}, `null`},
		{"any values", []string{"Ack", "properties", "args", "items"}, `{}`},
		{"bytes", []string{"Ack", "properties", "attachments", "items"}, `{"contentEncoding":"base64","type":"string"}`},
		{"an enum", []string{"NodeState", "enum"}, `["NODE_STATE_UNSPECIFIED","NODE_STATE_ACTIVE","NODE_STATE_DRAINING"]`},
		{"one of several messages has no fields of its own", []string{"TailResponse", "properties"}, `null`},
	} {
		if got := at(t, schemas, c.path...); got != c.want {
			t.Errorf("%s: %s is %s, want %s", c.what, strings.Join(c.path, "."), got, c.want)
		}
	}
}

func TestMistakesInTheParts(t *testing.T) {
	good, err := os.ReadFile(partsFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ what, old, new, want string }{
		{"no such operation", "GET /v1/nodes:", "GET /v1/node:", `no operation "GET /v1/nodes"`},
		{"one operation too many", "operations:\n", "operations:\n  GET /v2: {}\n", `operations that don't exist: ["GET /v2"]`},
		{"no such field", "Notice: {required: [event]}", "Notice: {required: [name]}", `fields that don't exist: ["Notice.name"]`},
		{"no such parameter", "parameters: {points: 6}", "parameters: {point: 6}", `GET /v1/stats: parameters that don't exist: ["point"]`},
		{"no example", "    response: {}\n", "", "DELETE /v1/rooms/{room}/messages: there is no example of a response"},
		{"no such key", "scheme: apiKey", "shceme: apiKey", "shceme"},
	} {
		bad := filepath.Join(t.TempDir(), "openapi.yaml")
		text := strings.Replace(string(good), c.old, c.new, 1)
		if text == string(good) {
			t.Fatalf("%s: the file has no %q", c.what, c.old)
		}
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := generate(newPlugin(t), httpFile, bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.what, err, c.want)
		}
	}
}

func TestMistakesInTheRules(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"get: /v1/a\n      body: '*'", "a rule needs one path"},
		{"get: /v1/a\n      post: /v1/b", "a rule needs one path"},
		{"put: /v1/a", "put"},
		{"get: /v1/{name=rooms/*}", "aren't supported"},
	} {
		file := filepath.Join(t.TempDir(), "http.yaml")
		text := "http:\n  rules:\n    - selector: sala.v1.A.B\n      " + c.rule + "\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readBindings(file); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.rule, err, c.want)
		}
	}
}

// JSON can't have two schemas with one name.
func TestAMessageOfRequestsAndAnswers(t *testing.T) {
	plugin := newPlugin(t)
	s := &schemas{parts: &parts{}, text: func(c protogen.Comments) string { return string(c) }}
	for _, file := range plugin.Files {
		for _, m := range file.Messages {
			if m.GoIdent.GoName != "Position" {
				continue
			}
			if _, err := s.ref(m, request); err != nil {
				t.Fatal(err)
			}
			if _, err := s.ref(m, answer); err == nil {
				t.Error("Position has a schema for requests and for answers")
			}
			return
		}
	}
	t.Fatal("no Position")
}

func TestText(t *testing.T) {
	d := &document{names: fieldNames(newPlugin(t).Files)}
	for comment, want := range map[string]string{
		" Two lines\n that are one.\n\n Another paragraph.\n": "Two lines that are one.\n\nAnother paragraph.",
		" Set args_json, not `args_json` or \"args_json\".":   "Set argsJson, not `args_json` or \"args_json\".",
		" The code of connect_error.":                         "The code of connect_error.",
	} {
		if got := d.text(protogen.Comments(comment)); got != want {
			t.Errorf("%q becomes %q, want %q", comment, got, want)
		}
	}
}

func TestUnsupportedFields(t *testing.T) {
	file := &descriptorpb.FileDescriptorProto{
		Name:    proto.String("a.proto"),
		Package: proto.String("a"),
		Syntax:  proto.String("proto3"),
		Options: &descriptorpb.FileOptions{GoPackage: proto.String("example.com/a")},
		MessageType: []*descriptorpb.DescriptorProto{{
			Name: proto.String("A"),
			Field: []*descriptorpb.FieldDescriptorProto{{
				Name:   proto.String("n"),
				Number: proto.Int32(1),
				Type:   descriptorpb.FieldDescriptorProto_TYPE_DOUBLE.Enum(),
				Label:  descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum(),
			}},
		}},
	}
	plugin, err := protogen.Options{}.New(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: []string{"a.proto"},
		ProtoFile:      []*descriptorpb.FileDescriptorProto{file},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := &schemas{parts: &parts{}, text: func(c protogen.Comments) string { return string(c) }}
	if _, err := s.ref(plugin.Files[0].Messages[0], answer); err == nil || !strings.Contains(err.Error(), "a.A.n: fields of the type double") {
		t.Errorf("%v", err)
	}
}
