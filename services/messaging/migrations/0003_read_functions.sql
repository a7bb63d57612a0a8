-- The number of the first message in a room that has at least this id, whether the id exists or not; beyond all numbers if there is none.
-- Ids and numbers of a room are given together, so they grow together, and a page that is cut by id can be read by number.
CREATE FUNCTION messaging.seq_from(p_room_id BIGINT, p_id BIGINT)
RETURNS BIGINT
LANGUAGE plpgsql STABLE STRICT AS $$
DECLARE
    v_low    BIGINT := 1;
    v_high   BIGINT;
    v_middle BIGINT;
    v_first  RECORD;
BEGIN
    -- Nearly always the id is that of a message in the room.
    SELECT seq INTO v_high FROM messaging.messages WHERE id = p_id AND room_id = p_room_id;
    IF FOUND THEN
        RETURN v_high;
    END IF;

    SELECT last_seq + 1 INTO v_high FROM messaging.room_heads WHERE room_id = p_room_id;
    -- What is below v_low has lower ids; what is from v_high on has not.
    WHILE v_low < v_high LOOP
        v_middle := (v_low + v_high) / 2;
        SELECT id, seq INTO v_first
        FROM messaging.messages
        WHERE room_id = p_room_id AND seq >= v_middle
        ORDER BY seq
        LIMIT 1;
        IF v_first.id < p_id THEN
            v_low := v_first.seq + 1;
        ELSE
            v_high := v_middle;
        END IF;
    END LOOP;
    RETURN v_low;
END
$$;
