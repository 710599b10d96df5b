"""What the operators' dashboard says, in English and Vietnamese. A key missing in one language is an error when the files are built."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

Language = Literal["en", "vi"]

WORDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "board": ("City overview", "Toàn cảnh thành phố"),
        "board_about": (
            "What the control room watches: alarms, values, and how complete they are.",
            "Màn hình của phòng điều hành: cảnh báo, giá trị đo và mức độ đầy đủ của dữ liệu.",
        ),
        "other": ("Tiếng Việt", "English"),
        "platform": ("Platform", "Nền tảng"),
        "district": ("District", "Khu vực"),
        "metric": ("Shown on the map", "Hiển thị trên bản đồ"),
        "resolution": ("Window", "Cửa sổ tính"),
        "resolution_about": (
            (
                "The finest window that is read. Where the points of a panel are further apart it reads coarser ones; "
                "windows of a minute up to three hours."
            ),
            (
                "Cửa sổ nhỏ nhất được đọc. Khi các điểm cách xa hơn, biểu đồ đọc cửa sổ lớn hơn; "
                "cửa sổ một phút chỉ dùng cho khoảng tối đa ba giờ."
            ),
        ),
        "row_now": ("Now", "Hiện tại"),
        "row_map": ("Where", "Vị trí"),
        "row_trends": ("Trends by district", "Diễn biến theo khu vực"),
        "row_trust": ("Can the numbers be trusted?", "Số liệu có đáng tin cậy không?"),
        "critical_alarms": ("Critical alarms", "Cảnh báo nghiêm trọng"),
        "critical_alarms_about": ("Open alarms of severity critical.", "Số cảnh báo mức nghiêm trọng đang mở."),
        "open_alarms": ("Open alarms", "Cảnh báo đang mở"),
        "open_alarms_about": ("All alarms that have not been cleared.", "Tất cả cảnh báo chưa kết thúc."),
        "readings_rate": ("Readings per second", "Số đo mỗi giây"),
        "readings_rate_about": ("Stored in the last minutes.", "Số bản ghi được lưu trong những phút gần đây."),
        "silence": ("Since the last message", "Từ tin nhắn gần nhất"),
        "silence_about": (
            "How long ago any device was heard. If this grows, every value on this page is old.",
            "Thời gian kể từ khi nhận được tin của bất kỳ thiết bị nào. Nếu số này tăng, mọi giá trị trên trang đều đã cũ.",
        ),
        "completeness_now": ("Completeness, last hour", "Độ đầy đủ trong giờ qua"),
        "completeness_about": (
            (
                "Readings that came, of those expected of every known sensor that measures at least every 15 minutes. "
                "The last half hour is left out: its windows may still be open."
            ),
            (
                "Tỷ lệ số đo nhận được so với số lần dự kiến của mọi cảm biến đã biết có chu kỳ không quá 15 phút. "
                "Không tính nửa giờ cuối vì cửa sổ có thể chưa đóng."
            ),
        ),
        "unaccounted": ("Readings unaccounted for", "Số đo không rõ tung tích"),
        "unaccounted_about": (
            "Acknowledged, but neither stored nor refused with a reason. Must be 0.",
            "Đã xác nhận nhưng không được lưu và cũng không bị từ chối có lý do. Phải bằng 0.",
        ),
        "alarms": ("Open alarms", "Các cảnh báo đang mở"),
        "alarms_about": (
            "Acknowledge them on the control center's page.",
            "Xác nhận cảnh báo trên trang của trung tâm điều hành.",
        ),
        "severity": ("Severity", "Mức độ"),
        "state": ("State", "Trạng thái"),
        "what": ("Alarm", "Cảnh báo"),
        "device": ("Device", "Thiết bị"),
        "name": ("Name", "Tên"),
        "kind": ("Kind", "Loại"),
        "measured": ("Metric", "Đại lượng"),
        "value": ("Value", "Giá trị"),
        "unit": ("Unit", "Đơn vị"),
        "since": ("Since", "Từ lúc"),
        "by": ("Acknowledged by", "Người xác nhận"),
        "advice": ("What to do", "Việc cần làm"),
        "critical": ("critical", "nghiêm trọng"),
        "warning": ("warning", "cảnh báo"),
        "info": ("info", "thông tin"),
        "raised": ("raised", "mới phát sinh"),
        "acknowledged": ("acknowledged", "đã xác nhận"),
        "map": ("Devices, last 15 minutes", "Thiết bị, 15 phút qua"),
        "map_about": (
            (
                "Mean of the last 15 minutes of the chosen metric; grey: no reading. "
                "The background map needs the Internet, the markers do not."
            ),
            "Giá trị trung bình 15 phút qua của đại lượng được chọn; màu xám: không có số đo. Bản đồ nền cần Internet, các điểm thì không.",
        ),
        "highest": ("Highest", "Cao nhất"),
        "newest": ("Newest", "Mới nhất"),
        "pm2_5": ("Fine dust PM2.5", "Bụi mịn PM2.5"),
        "pm2_5_about": ("Mean of the district's stations.", "Trung bình các trạm trong khu vực."),
        "noise": ("Noise level LAeq", "Mức ồn tương đương LAeq"),
        "noise_about": (
            "Energetic mean of the district's microphones, not the arithmetic one.",
            "Trung bình năng lượng của các trạm đo ồn trong khu vực (không phải trung bình cộng).",
        ),
        "traffic": ("Traffic", "Lưu lượng giao thông"),
        "traffic_about": (
            "Vehicles an hour, all counters of the district together.",
            "Số xe mỗi giờ của tất cả điểm đếm trong khu vực.",
        ),
        "water": ("Water level, highest", "Mực nước cao nhất"),
        "water_about": (
            "Highest level of the district's gauges; each gauge has its own zero.",
            "Mực nước cao nhất trong các trạm của khu vực; mỗi trạm có mốc 0 riêng.",
        ),
        "completeness": ("Completeness", "Độ đầy đủ"),
        "completeness_table": ("Completeness by district, last hour", "Độ đầy đủ theo khu vực, giờ qua"),
        "devices": ("Devices", "Số thiết bị"),
        "expected": ("Expected", "Dự kiến"),
        "came": ("Came", "Đã nhận"),
        "stale": ("Devices that have gone silent", "Thiết bị mất tín hiệu"),
        "stale_about": (
            "Nothing for more than three of their intervals and at least 5 minutes; the silent longest first.",
            "Không có số đo trong hơn ba chu kỳ và ít nhất 5 phút; im lặng lâu nhất xếp trước.",
        ),
        "silent_for": ("Silent for", "Im lặng trong"),
        "interval": ("Expected every", "Chu kỳ dự kiến"),
        "alarm_history": ("Alarms raised", "Số cảnh báo phát sinh"),
        "alarm_history_about": ("Per hour, by severity.", "Theo giờ, theo mức độ."),
    }
)


def word(key: str, language: Language) -> str:
    """The text of `key`."""
    english, vietnamese = WORDS[key]
    return english if language == "en" else vietnamese
