;; The host's own component, for a function that has none because its peers speak
;; a dialect: it accepts every connection, and answers nothing.
;;
;; The core module is written by hand. The types around it are those of the
;; contract in `wit/`, as wit-component 0.254 encodes a world that imports
;; `openline:websocket/connections` and exports `websocket-handler`, printed as
;; text. Its memory begins with zeros, which are an acceptance without anything;
;; behind them is what a call passes, which the next one overwrites.
(component
  (type $ty-openline:common/types@0.2.0 (;0;)
    (instance
      (type (;0;) (list u8))
      (type (;1;) (variant (case "text" string) (case "binary" 0)))
      (export (;2;) "message" (type (eq 1)))
    )
  )
  (import "openline:common/types@0.2.0" (instance $openline:common/types@0.2.0 (;0;) (type $ty-openline:common/types@0.2.0)))
  (type $ty-openline:websocket/types@0.2.0 (;1;)
    (instance
      (type (;0;) (record (field "code" u16) (field "reason" string)))
      (export (;1;) "close-info" (type (eq 0)))
      (type (;2;) (enum "peer" "function" "host" "lost"))
      (export (;3;) "close-origin" (type (eq 2)))
      (type (;4;) (record (field "subject" string) (field "issuer" string) (field "serial" string) (field "fingerprint" string)))
      (export (;5;) "peer-certificate" (type (eq 4)))
      (type (;6;) (option string))
      (type (;7;) (option 5))
      (type (;8;) (record (field "version" string) (field "server-name" 6) (field "certificate" 7)))
      (export (;9;) "tls-facts" (type (eq 8)))
      (type (;10;) (list u8))
      (type (;11;) (tuple string 10))
      (type (;12;) (list 11))
      (type (;13;) (list string))
      (type (;14;) (tuple string string))
      (type (;15;) (list 14))
      (type (;16;) (option 9))
      (type (;17;) (record (field "method" string) (field "uri" string) (field "headers" 12) (field "peer" string) (field "subprotocols" 13) (field "route-params" 15) (field "tls" 16) (field "claims" 6)))
      (export (;18;) "upgrade-request" (type (eq 17)))
      (type (;19;) (record (field "subprotocol" 6) (field "headers" 12) (field "attachment" 10) (field "tags" 13) (field "channels" 13)))
      (export (;20;) "acceptance" (type (eq 19)))
      (type (;21;) (record (field "status" u16) (field "headers" 12) (field "body" 10)))
      (export (;22;) "rejection" (type (eq 21)))
    )
  )
  (import "openline:websocket/types@0.2.0" (instance $openline:websocket/types@0.2.0 (;1;) (type $ty-openline:websocket/types@0.2.0)))
  (type $ty-openline:websocket/connections@0.2.0 (;2;)
    (instance
      (export (;0;) "connection" (type (sub resource)))
    )
  )
  (import "openline:websocket/connections@0.2.0" (instance $openline:websocket/connections@0.2.0 (;2;) (type $ty-openline:websocket/connections@0.2.0)))
  (core module $main (;0;)
    (type (;0;) (func (param i32)))
    (type (;1;) (func (param i32 i32 i32 i32) (result i32)))
    (type (;2;) (func))
    (type (;3;) (func (param i32) (result i32)))
    (type (;4;) (func (param i32 i32 i32)))
    (type (;5;) (func (param i32 i32 i32 i32 i32)))
    (import "openline:websocket/connections@0.2.0" "[resource-drop]connection" (func $drop (;0;) (type 0)))
    (memory (;0;) 1)
    (global $next (;0;) (mut i32) i32.const 1024)
    (export "memory" (memory 0))
    (export "cabi_realloc" (func 1))
    (export "openline:websocket/websocket-handler@0.2.0#upgrade" (func 3))
    (export "openline:websocket/websocket-handler@0.2.0#open" (func 4))
    (export "openline:websocket/websocket-handler@0.2.0#messages" (func 5))
    (export "openline:websocket/websocket-handler@0.2.0#close" (func 6))
    (func (;1;) (type 1) (param $old i32) (param $old_bytes i32) (param $align i32) (param $bytes i32) (result i32)
      (local $at i32) (local $missing i32)
      global.get $next
      local.get $align
      i32.const 1
      i32.sub
      i32.add
      i32.const 0
      local.get $align
      i32.sub
      i32.and
      local.set $at
      local.get $at
      local.get $bytes
      i32.add
      global.set $next
      global.get $next
      memory.size
      i32.const 16
      i32.shl
      i32.sub
      local.set $missing
      local.get $missing
      i32.const 0
      i32.gt_s
      if ;; label = @1
        i32.const -1
        local.get $missing
        i32.const 65535
        i32.add
        i32.const 16
        i32.shr_u
        memory.grow
        i32.eq
        if ;; label = @2
          unreachable
        end
      end
      local.get $at
      local.get $old
      local.get $old_bytes
      memory.copy
      local.get $at
    )
    (func $done (;2;) (type 2)
      i32.const 1024
      global.set $next
    )
    (func (;3;) (type 3) (param i32) (result i32)
      call $done
      i32.const 16
    )
    (func (;4;) (type 0) (param $connection i32)
      local.get $connection
      call $drop
    )
    (func (;5;) (type 4) (param $connection i32) (param i32 i32)
      local.get $connection
      call $drop
      call $done
    )
    (func (;6;) (type 5) (param $connection i32) (param i32 i32 i32 i32)
      local.get $connection
      call $drop
      call $done
    )
    (@producers
      (processed-by "wit-component" "0.254.2")
    )
  )
  (alias export $openline:common/types@0.2.0 "message" (type $message (;3;)))
  (alias export $openline:websocket/types@0.2.0 "close-info" (type $close-info (;4;)))
  (alias export $openline:websocket/types@0.2.0 "close-origin" (type $close-origin (;5;)))
  (alias export $openline:websocket/types@0.2.0 "upgrade-request" (type $upgrade-request (;6;)))
  (alias export $openline:websocket/types@0.2.0 "acceptance" (type $acceptance (;7;)))
  (alias export $openline:websocket/types@0.2.0 "rejection" (type $rejection (;8;)))
  (alias export $openline:websocket/connections@0.2.0 "connection" (type $connection (;9;)))
  (alias export $openline:websocket/connections@0.2.0 "connection" (type $"#type10 connection" (@name "connection") (;10;)))
  (core func $resource.drop (;0;) (canon resource.drop $"#type10 connection"))
  (core instance $openline:websocket/connections@0.2.0 (;0;)
    (export "[resource-drop]connection" (func $resource.drop))
  )
  (core instance $main (;1;) (instantiate $main
      (with "openline:websocket/connections@0.2.0" (instance $openline:websocket/connections@0.2.0))
    )
  )
  (alias core export $main "memory" (core memory $memory (;0;)))
  (type (;11;) (result $acceptance (error $rejection)))
  (type (;12;) (func (param "request" $upgrade-request) (result 11)))
  (alias core export $main "openline:websocket/websocket-handler@0.2.0#upgrade" (core func $openline:websocket/websocket-handler@0.2.0#upgrade (;1;)))
  (alias core export $main "cabi_realloc" (core func $cabi_realloc (;2;)))
  (func $upgrade (;0;) (type 12) (canon lift (core func $openline:websocket/websocket-handler@0.2.0#upgrade) (memory $memory) (realloc $cabi_realloc) string-encoding=utf8))
  (type (;13;) (borrow $connection))
  (type (;14;) (func (param "connection" 13)))
  (alias core export $main "openline:websocket/websocket-handler@0.2.0#open" (core func $openline:websocket/websocket-handler@0.2.0#open (;3;)))
  (func $open (;1;) (type 14) (canon lift (core func $openline:websocket/websocket-handler@0.2.0#open)))
  (type (;15;) (list $message))
  (type (;16;) (func (param "connection" 13) (param "batch" 15)))
  (alias core export $main "openline:websocket/websocket-handler@0.2.0#messages" (core func $openline:websocket/websocket-handler@0.2.0#messages (;4;)))
  (func $messages (;2;) (type 16) (canon lift (core func $openline:websocket/websocket-handler@0.2.0#messages) (memory $memory) (realloc $cabi_realloc) string-encoding=utf8))
  (type (;17;) (func (param "connection" 13) (param "info" $close-info) (param "origin" $close-origin)))
  (alias core export $main "openline:websocket/websocket-handler@0.2.0#close" (core func $openline:websocket/websocket-handler@0.2.0#close (;5;)))
  (func $close (;3;) (type 17) (canon lift (core func $openline:websocket/websocket-handler@0.2.0#close) (memory $memory) (realloc $cabi_realloc) string-encoding=utf8))
  (alias export $openline:websocket/types@0.2.0 "peer-certificate" (type $peer-certificate (;18;)))
  (alias export $openline:websocket/types@0.2.0 "tls-facts" (type $tls-facts (;19;)))
  (component $openline:websocket/websocket-handler@0.2.0-shim-component (;0;)
    (type (;0;) (list u8))
    (type (;1;) (variant (case "text" string) (case "binary" 0)))
    (import "import-type-message" (type (;2;) (eq 1)))
    (type (;3;) (record (field "code" u16) (field "reason" string)))
    (import "import-type-close-info" (type (;4;) (eq 3)))
    (type (;5;) (enum "peer" "function" "host" "lost"))
    (import "import-type-close-origin" (type (;6;) (eq 5)))
    (type (;7;) (record (field "subject" string) (field "issuer" string) (field "serial" string) (field "fingerprint" string)))
    (import "import-type-peer-certificate" (type (;8;) (eq 7)))
    (type (;9;) (option string))
    (type (;10;) (option 8))
    (type (;11;) (record (field "version" string) (field "server-name" 9) (field "certificate" 10)))
    (import "import-type-tls-facts" (type (;12;) (eq 11)))
    (type (;13;) (tuple string 0))
    (type (;14;) (list 13))
    (type (;15;) (list string))
    (type (;16;) (tuple string string))
    (type (;17;) (list 16))
    (type (;18;) (option 12))
    (type (;19;) (record (field "method" string) (field "uri" string) (field "headers" 14) (field "peer" string) (field "subprotocols" 15) (field "route-params" 17) (field "tls" 18) (field "claims" 9)))
    (import "import-type-upgrade-request" (type (;20;) (eq 19)))
    (type (;21;) (record (field "subprotocol" 9) (field "headers" 14) (field "attachment" 0) (field "tags" 15) (field "channels" 15)))
    (import "import-type-acceptance" (type (;22;) (eq 21)))
    (type (;23;) (record (field "status" u16) (field "headers" 14) (field "body" 0)))
    (import "import-type-rejection" (type (;24;) (eq 23)))
    (import "import-type-connection" (type (;25;) (sub resource)))
    (import "import-type-upgrade-request0" (type (;26;) (eq 20)))
    (import "import-type-acceptance0" (type (;27;) (eq 22)))
    (import "import-type-rejection0" (type (;28;) (eq 24)))
    (type (;29;) (result 27 (error 28)))
    (type (;30;) (func (param "request" 26) (result 29)))
    (import "import-func-upgrade" (func (;0;) (type 30)))
    (import "import-type-connection0" (type (;31;) (eq 25)))
    (type (;32;) (borrow 31))
    (type (;33;) (func (param "connection" 32)))
    (import "import-func-open" (func (;1;) (type 33)))
    (import "import-type-message0" (type (;34;) (eq 2)))
    (type (;35;) (list 34))
    (type (;36;) (func (param "connection" 32) (param "batch" 35)))
    (import "import-func-messages" (func (;2;) (type 36)))
    (import "import-type-close-info0" (type (;37;) (eq 4)))
    (import "import-type-close-origin0" (type (;38;) (eq 6)))
    (type (;39;) (func (param "connection" 32) (param "info" 37) (param "origin" 38)))
    (import "import-func-close" (func (;3;) (type 39)))
    (export (;40;) "message" (type 2))
    (export (;41;) "close-info" (type 4))
    (export (;42;) "close-origin" (type 6))
    (export (;43;) "upgrade-request" (type 20))
    (export (;44;) "acceptance" (type 22))
    (export (;45;) "rejection" (type 24))
    (export (;46;) "connection" (type 25))
    (type (;47;) (result 44 (error 45)))
    (type (;48;) (func (param "request" 43) (result 47)))
    (export (;4;) "upgrade" (func 0) (func (type 48)))
    (type (;49;) (borrow 46))
    (type (;50;) (func (param "connection" 49)))
    (export (;5;) "open" (func 1) (func (type 50)))
    (type (;51;) (list 40))
    (type (;52;) (func (param "connection" 49) (param "batch" 51)))
    (export (;6;) "messages" (func 2) (func (type 52)))
    (type (;53;) (func (param "connection" 49) (param "info" 41) (param "origin" 42)))
    (export (;7;) "close" (func 3) (func (type 53)))
  )
  (instance $openline:websocket/websocket-handler@0.2.0-shim-instance (;3;) (instantiate $openline:websocket/websocket-handler@0.2.0-shim-component
      (with "import-func-upgrade" (func $upgrade))
      (with "import-func-open" (func $open))
      (with "import-func-messages" (func $messages))
      (with "import-func-close" (func $close))
      (with "import-type-message" (type $message))
      (with "import-type-close-info" (type $close-info))
      (with "import-type-close-origin" (type $close-origin))
      (with "import-type-peer-certificate" (type $peer-certificate))
      (with "import-type-tls-facts" (type $tls-facts))
      (with "import-type-upgrade-request" (type $upgrade-request))
      (with "import-type-acceptance" (type $acceptance))
      (with "import-type-rejection" (type $rejection))
      (with "import-type-connection" (type $connection))
      (with "import-type-upgrade-request0" (type $upgrade-request))
      (with "import-type-acceptance0" (type $acceptance))
      (with "import-type-rejection0" (type $rejection))
      (with "import-type-connection0" (type $connection))
      (with "import-type-message0" (type $message))
      (with "import-type-close-info0" (type $close-info))
      (with "import-type-close-origin0" (type $close-origin))
    )
  )
  (export $openline:websocket/websocket-handler@0.2.0 (;4;) "openline:websocket/websocket-handler@0.2.0" (instance $openline:websocket/websocket-handler@0.2.0-shim-instance))
  (@producers
    (processed-by "wit-component" "0.254.2")
  )
)
