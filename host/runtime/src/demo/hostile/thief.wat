;; Finds the first owner that holds an address, and gives that address to the next owner of the same pool.
(func (export "sluice:policy/allocator@0.1.0#make-plan") (param $snapshot i32) (result i32)
  (local $owner i32)       ;; snapshot.owners: list at 52, elements of 52 bytes
  (local $end i32)
  (local $victim i32)
  (local $index i32)
  (local $allocation i32)
  (local.set $owner (i32.load offset=52 (local.get $snapshot)))
  (local.set $end
    (i32.add (local.get $owner) (i32.mul (i32.load offset=56 (local.get $snapshot)) (i32.const 52))))
  (block $found
    (loop $next
      (if (i32.ge_u (local.get $owner) (local.get $end)) (then unreachable))
      (if (local.get $victim)
        (then
          ;; owner.pool at 8
          (br_if $found
            (i32.eq (i32.load offset=8 (local.get $owner)) (i32.load offset=8 (local.get $victim)))))
        (else
          ;; owner.allocations: list at 36
          (if (i32.load offset=40 (local.get $owner)) (then (local.set $victim (local.get $owner))))))
      (local.set $owner (i32.add (local.get $owner) (i32.const 52)))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br $next)))
  (local.set $allocation (i32.load offset=36 (local.get $victim)))
  ;; The patch at 1024: operation `allocate` with owner at 8, zone at 12 and address at 24; reason `wanted`; no text.
  (i32.store8 (i32.const 1024) (i32.const 0))
  (i32.store (i32.const 1032) (local.get $index))
  ;; allocation.zone is at 24 behind allocation.address.
  (i64.store align=4 (i32.const 1036) (i64.load offset=24 align=4 (local.get $allocation)))
  (memory.copy (i32.const 1048) (local.get $allocation) (i32.const 24))
  (i32.store8 (i32.const 1072) (i32.const 0))
  (i64.store align=4 (i32.const 1076) (i64.const 0))
  ;; The result at 512: ok, and at 520 the plan: generation, one patch, no holds, no attributes.
  (i64.store (i32.const 512) (i64.const 0))
  (i64.store (i32.const 520) (i64.load (local.get $snapshot)))
  (i32.store (i32.const 528) (i32.const 1024))
  (i32.store (i32.const 532) (i32.const 1))
  (i64.store (i32.const 536) (i64.const 0))
  (i64.store (i32.const 544) (i64.const 0))
  (i32.const 512))
